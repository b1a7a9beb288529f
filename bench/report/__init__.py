"""Tables, charts and the HTML page, all drawn from `run_summary`."""
