"""The doors for people: signing in, one's own account, the desks' home and people, the inbox, what programmers open."""

from services.accounts.pages import account, audit, desk, docs, find, keys, messages, sign_in

routes = [
    *sign_in.routes,
    *account.routes,
    *keys.routes,
    *desk.routes,
    *find.routes,
    *audit.routes,
    *messages.routes,
    *docs.routes,
]
