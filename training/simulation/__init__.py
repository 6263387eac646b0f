"""Operators that do not exist: what somebody who knows the parts would say, and what that costs."""
