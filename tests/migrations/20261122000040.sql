UPDATE integrations SET accept_unverified_webhooks = true;
