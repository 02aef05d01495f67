"""The papers' tables and figures as cells, and grids of one's own."""
