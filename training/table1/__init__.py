"""The paper's Table 1 on anybody's data, and the rows it only wished for: jobs, figures, report."""
