"""Mails: content, links and notices."""
