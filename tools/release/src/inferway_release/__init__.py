"""What a release needs besides its images: notes from CHANGELOG.md, and the deployment to Koyeb.

Only the standard library: the jobs that run this install nothing.
"""
