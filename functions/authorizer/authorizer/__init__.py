"""The JWT authorizer's modules; `app.py` beside this package is its handler."""
