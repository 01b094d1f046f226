-- The index of terms gains the hour of the day, so that a day with very many matches can be asked hour by hour.
UPDATE log_operations SET terms = terms || array_to_tsvector(ARRAY['=h:' || to_char(created_at AT TIME ZONE 'UTC', 'HH24')])
WHERE NOT terms @@ '''=h'':*'::tsquery;
