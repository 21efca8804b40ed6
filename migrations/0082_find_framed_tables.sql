-- Tables in frames, as rich and DuckDB draw them, are parted by │, and between their names by ┃.
update bcp.anonymization_rules
set pattern = '[,\t|;│┃][^\n]*\n',
    note = 'Columns of CSV, TSV, Markdown tables and tables of psql, mysql and others, whose name is a sensitive key.'
where name = 'table';
