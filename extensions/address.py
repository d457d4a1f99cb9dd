"""Where the book stands on the web: all of it follows from ``repository`` in ``_config.yml``."""

import re

from sphinx.config import Config

GITHUB = re.compile(r"https://github\.com/(?P<owner>[\w.-]+)/(?P<name>[\w.-]+)")


def repository(config: Config) -> str:
    """The repository's web address."""
    return config.html_theme_options["repository_url"].rstrip("/")


def branch(config: Config) -> str:
    """The branch that the site and the notebooks are made from."""
    return config.html_theme_options.get("repository_branch") or "main"


def pages_of(repository_url: str) -> str:
    """The address under which GitHub Pages publishes a repository's site.

    >>> pages_of("https://github.com/Someone/book")
    'https://someone.github.io/book/'

    Raises ``ValueError`` for an address that is not of GitHub.
    """
    found = GITHUB.fullmatch(repository_url)
    if not found:
        raise ValueError(
            f"repository url {repository_url!r}: expected https://github.com/owner/name; "
            "for another host give html.baseurl in _config.yml"
        )
    return f"https://{found['owner'].lower()}.github.io/{found['name']}/"


def site(config: Config) -> str:
    """The site's address, with a slash at its end: ``html.baseurl``, or GitHub's pages."""
    return (config.html_baseurl or pages_of(repository(config))).rstrip("/") + "/"
