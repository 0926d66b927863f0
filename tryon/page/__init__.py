"""A static page that dresses people in the browser, and how its folder is put together."""
