"""A local web page that dresses people. The page itself needs gradio, an extra; the rest of this folder does not."""
