# The verbs of the house. The work is done by tools/house.py, which runs without make as well.
PYTHON ?= python3
.DEFAULT_GOAL := help

VERBS := book draft notebooks pictures address zip pdf serve lab dist release-check test test-site test-notebooks lighthouse test-all lint format results bench setup clean help
.PHONY: $(VERBS)

# Q: questions for `results`; ARGS: what else the verb takes, as in `make test ARGS="-k gru"`.
$(VERBS):
	@$(PYTHON) tools/house.py $@ $(Q) $(ARGS)
