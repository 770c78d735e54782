"""Why an upload is not used."""
