"""One run on disk: its configuration, folder, progress, resumed training and page.

A program hands its functions to `program.main` as one `Program`; the rest of this
folder is what `main` and the functions of a program are made of.
"""
