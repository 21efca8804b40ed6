delete from bcp.settings where name like 'dedup\_window\_%' or name = 'activity_retention';
