"""Local Sphinx extensions: what turns the theme's pages into this book's pages.

Each module is one extension, listed by name in ``_config.yml``:

``assets``               puts the book's own and vendored files below ``_static/``
``offline``              no page loads anything from another host
``accessibility``        mends names, roles and landmarks that the theme leaves wanting
``palette_css``          ``palette.json`` as CSS variables, light and dark
``inline_svg``           pictures become part of the page and follow its theme
``explorable_figures``   figures that move, with no kernel and also from ``file://``
``stored_numbers``       the role ``number``: prose takes its numbers from stored results
``mathematics``          prerendered by KaTeX where node is there, else a vendored MathJax
``execution``           full runs and drafts
``claims``              every claim of the four articles, from one file
``library_reference``   the reference from docstrings; chapters and functions link to each other
``notebooks``           each chapter as a plain notebook, by ``plain_markdown`` and ``setup_cell``
``discovery``           descriptions, social cards, a map of the site; addresses by ``address``
``security_policy``     each page names the scripts that it may run
"""
