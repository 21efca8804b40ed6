drop table bcp.issue_actions;
