"""One file per question: its configuration, its independent runs, its records, its findings.

`payattention.results` describes what such a module offers, runs it and stores its answer.
"""
