"""Parts of the screen; each shows what it is handed and says what its user wants."""
