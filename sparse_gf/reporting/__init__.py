"""Tables, figures and pages, from result rows alone."""
