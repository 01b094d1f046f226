UPDATE webhook_deliveries SET held_until = now() + interval '30 seconds', held_for = gen_random_uuid() WHERE queue_id IS NOT NULL;
