"""Deeds: each is one step of a run, and may be refused or cut short."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from shared import clock
from shared.jobs import run_one
from tests.simulation.buying import (
    book_ads,
    buy_tickets,
    cancel_ads,
    cancel_package,
    edit_ticket,
    end_subscription,
    let_in,
    show_ads,
    subscribe,
    take_package,
)
from tests.simulation.paying import (
    ask_refund,
    decide_at_the_bank,
    decide_proposal,
    decide_refund,
    go_to_the_bank,
    look_into_money,
    renew_refund,
    tell_of_payment,
)
from tests.simulation.town import Flat, Killed, Town

Deed = Callable[[Town], Awaitable[None]]


async def pay_at_once(town: Town) -> None:
    """What was said is heard, and a buyer goes to the bank and pays: the common case."""
    await carry_all_facts(town)
    await go_to_the_bank(town)
    await decide_at_the_bank(town)
    await tell_of_payment(town)


async def pay_too_late(town: Town) -> None:
    """The bank takes its time: we gave the attempt up, asked in vain, and perhaps freed what was held."""
    await carry_all_facts(town)
    await go_to_the_bank(town)
    for minutes in (20, 20, town.random.choice((30, 200, 10 * 1440))):
        town.clock.move_to(clock.now() + timedelta(minutes=minutes))
        await do_jobs(town.flats["payments"])
    if town.random.random() < 0.7:
        await do_jobs(town.flats["events"])
        await carry_all_facts(town)
        await do_jobs(town.flats["payments"])
    if town.random.random() < 0.5:
        await carry_all_facts(town)
    if town.random.random() < 0.4:
        await buy_tickets(town)
    await decide_at_the_bank(town)
    await tell_of_payment(town)


async def pay_twice(town: Town) -> None:
    """An attempt is given up while the invoice waits; the buyer pays by another one, and then by the first too."""
    await carry_all_facts(town)
    await go_to_the_bank(town)
    for _ in range(2):
        town.clock.move_to(clock.now() + timedelta(minutes=26))
        await do_jobs(town.flats["payments"])
    await go_to_the_bank(town)
    for _ in range(2):
        await decide_at_the_bank(town)
        await tell_of_payment(town)


async def carry_facts(town: Town) -> None:
    """Some facts reach some flat: in order or not, once or twice; its process may be killed amid it."""
    await town.collect()
    flat = town.random.choice([flat for flat in town.flats.values() if not flat.away])
    most = town.random.choice((1, 3, None))
    chance = town.random.random
    try:
        await town.hear(flat, most, shuffled=chance() < 0.3, twice=chance() < 0.2)
    except Killed:
        town.tell(f"{flat.name} was killed, its facts come again")


async def carry_all_facts(town: Town) -> None:
    """What was said reaches whoever hears."""
    await town.collect()
    for flat in town.flats.values():
        if not flat.away:
            await town.hear(flat)


async def pass_time(town: Town) -> None:
    """Minutes, hours, or days."""
    minutes = town.random.choice((1, 5, 20, 20, 180, 1440, 5 * 1440))
    town.clock.move_to(clock.now() + timedelta(minutes=minutes))
    town.tell(f"{minutes} minutes later")


async def set_clock(town: Town) -> None:
    """The clock was wrong, ahead or behind, by minutes or by an hour."""
    minutes = town.random.choice((-60, -10, -1, 10, 60))
    town.clock.set_to(clock.now() + timedelta(minutes=minutes))
    town.tell(f"the clock was set by {minutes} minutes")


async def work(town: Town) -> None:
    """One flat does what is due by the clock, and what it kept for later."""
    flat = town.random.choice([flat for flat in town.flats.values() if not flat.away])
    await do_jobs(flat)


WORK = {
    "settle_delivery",
    "expire_unpaid",
    "close_ended_lines",
    "withdraw_expired",
    "bill_instalments",
    "recognise_days",
    "expire_invoices",
    "ask_outcomes",
    "send_refunds",
    "invite_renewals",
}
"""Jobs that move money, stock or days; the others tidy up, write letters, or play what nobody here looks at."""


async def do_jobs(flat: Flat) -> None:
    await flat.consumer.again(flat.database)
    for job in flat.kit.jobs.scheduled:
        if job.name in WORK:
            await run_one(flat.kit, job)


async def go_away(town: Town) -> None:
    """A flat, or VNPay's server, is away for a while, or comes back."""
    flat = town.random.choice(list(town.flats.values()))
    others = [other for other in town.flats.values() if other is not flat and not other.away]
    if town.random.random() < 0.3:
        town.silent = not town.silent
    elif others:
        flat.away = not flat.away
        town.tell(f"{flat.name} is {'away' if flat.away else 'back'}")


DEEDS: dict[Deed, int] = {
    buy_tickets: 6,
    take_package: 3,
    cancel_package: 1,
    let_in: 1,
    edit_ticket: 1,
    subscribe: 5,
    end_subscription: 2,
    book_ads: 4,
    cancel_ads: 2,
    show_ads: 2,
    pay_at_once: 10,
    pay_too_late: 5,
    pay_twice: 2,
    go_to_the_bank: 4,
    decide_at_the_bank: 5,
    tell_of_payment: 5,
    ask_refund: 6,
    decide_refund: 3,
    look_into_money: 1,
    decide_proposal: 1,
    renew_refund: 1,
    carry_facts: 10,
    carry_all_facts: 5,
    pass_time: 4,
    set_clock: 3,
    work: 8,
    go_away: 2,
}
"""What may happen next, and how likely."""
