"""Postfix's words: endpoints, milters, main.cf and master.cf, the layouts."""
