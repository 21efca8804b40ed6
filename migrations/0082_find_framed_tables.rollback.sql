update bcp.anonymization_rules
set pattern = '[,\t|;][^\n]*\n', note = 'Columns of CSV, TSV and Markdown tables whose name is a sensitive key.'
where name = 'table';
