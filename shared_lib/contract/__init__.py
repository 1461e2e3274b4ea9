"""The public interface: what a request may ask, what an answer shows, problem codes and the table of routes."""
