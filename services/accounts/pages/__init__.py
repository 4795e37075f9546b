"""The doors for people: signing in, one's own account, the desks' home and people, the inbox, what programmers open."""

from services.accounts.pages import account, desk, docs, keys, mail, sign_in, trail

routes = [
    *sign_in.routes,
    *account.routes,
    *keys.routes,
    *desk.routes,
    *trail.routes,
    *mail.routes,
    *docs.routes,
]
