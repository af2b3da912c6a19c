"""The page as a web application: it alone knows Flask, Jinja2, Werkzeug and waitress.

Each request passes `requests` before it is routed. `pages` is for supporters, `shared` for those
who have a link; `server` listens for both.
"""
