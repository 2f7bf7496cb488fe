"""The report: one HTML page that says where a workspace stands, how good its tags are and what to look at, and that works offline."""
