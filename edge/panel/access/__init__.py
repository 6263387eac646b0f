"""Who may do what on the panel: roles, accounts, sessions, and what happens after wrong PINs."""
