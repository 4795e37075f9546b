"""The doors for people: signing in, one's own account, the desks' home and people, the embedded inbox."""

from services.accounts.pages import account, desk, keys, mail, problems, sign_in, trail

routes = [
    *sign_in.routes,
    *account.routes,
    *keys.routes,
    *desk.routes,
    *trail.routes,
    *mail.routes,
    *problems.routes,
]
