"""What each page shows: values made of what was found, in the language of the reader. Pure."""
