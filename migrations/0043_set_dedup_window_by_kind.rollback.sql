delete from bcp.settings where name like 'dedup\_window\_%';
