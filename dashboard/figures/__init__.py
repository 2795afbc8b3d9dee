"""Figures: plain functions from tables to Plotly figures; no Streamlit here."""
