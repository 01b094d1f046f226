UPDATE environments SET slack_notifications = true, otlp_endpoint = 'https://otlp.example.com', otlp_headers = '\x01';
