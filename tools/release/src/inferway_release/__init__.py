"""Release tools: notes from CHANGELOG.md, and the deployment to Koyeb.

Uses only the standard library, because the jobs that run it install nothing.
"""
