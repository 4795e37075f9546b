"""The simulated VNPay's doors: the bank's page, the API for querydr and refund, its totals, and its orders."""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.response import Redirect, Template

from services.payments.gateways import SIMULATOR
from services.payments.rules import vnpay
from services.payments.simulators import vnpay as simulator
from shared import clock
from shared.db import Tx
from shared.http import read_form
from shared.request import Request
from shared.settings import BadSetting, Settings
from shared.web import N_, language_of, page, translate

BANK_PATH = f"{SIMULATOR}/bank"

CHOICES = (
    ("pay", N_("Trả tiền"), "primary"),
    ("cancel", N_("Hủy giao dịch"), "quiet"),
    ("funds", N_("Thử: tài khoản không đủ tiền"), "quiet"),
    ("otp", N_("Thử: nhập sai mã OTP"), "quiet"),
    ("suspect", N_("Thử: giao dịch bị nghi ngờ (07)"), "quiet"),
)

BANNER = N_("Không có ngân hàng nào ở đây và không ai mất tiền thật. Hãy chọn kết quả bạn muốn thử.")


class BankForm(msgspec.Struct, frozen=True):
    terminal: Annotated[str, msgspec.Meta(max_length=8)]
    reference: Annotated[str, msgspec.Meta(max_length=100)]
    choice: simulator.Choice


def routes(settings: Settings) -> list[Any]:
    """The simulator's routes where it is used; none where VNPay itself is. Raises BadSetting where others reach it."""
    if settings.vnpay_url:
        return []
    if settings.exposed:
        raise BadSetting("The VNPay simulator is for one machine alone: set NGUONTHU_VNPAY_URL.")
    return [show_bank, choose, answer, show_captures, behave, show_behaviour]


def _terminals(request: Request) -> dict[str, vnpay.Terminal]:
    return vnpay.terminals(request.app.state.settings.vnpay_terminals)


@get(SIMULATOR + vnpay.PAY_PATH, opt={"worker": True}, include_in_schema=False)
async def show_bank(request: Request, tx: NamedDependency[Tx]) -> Template:
    """The bank's page to which the buyer is sent."""
    row = await simulator.open_payment(
        tx, _terminals(request), request.scope["query_string"].decode("latin-1")
    )
    return page(
        request,
        "vnpay_bank.html",
        transaction=row,
        over=row.state == "waiting" and clock.now() >= row.expires_at,
        choices=CHOICES,
        bank_path=BANK_PATH,
        brand="VNPAY",
        simulator=translate(language_of(request), BANNER),
    )


@post(BANK_PATH, opt={"worker": True}, include_in_schema=False)
async def choose(request: Request, tx: NamedDependency[Tx]) -> Redirect:
    """Conclude as the buyer chose and send the buyer back; the notification goes its own way."""
    form = read_form(await request.form(), BankForm)
    row = await simulator.choose(tx, form.terminal, form.reference, form.choice)
    query = simulator.notification_query(row, _terminals(request))
    return Redirect(f"{row.return_url}?{query}", status_code=303)


@post(SIMULATOR + vnpay.API_PATH, opt={"worker": True}, include_in_schema=False, status_code=200)
async def answer(
    request: Request, tx: NamedDependency[Tx], data: JSONBody[dict[str, str]]
) -> Response[dict[str, str]]:
    """Answer querydr and refund."""
    said = await simulator.answer(tx, _terminals(request), data)
    if (await simulator.behaviour(tx)).lose_answer:
        return Response({}, status_code=HTTPStatus.GATEWAY_TIMEOUT)
    return Response(said)


@get(f"{SIMULATOR}/captures", opt={"worker": True}, include_in_schema=False)
async def show_captures(tx: NamedDependency[Tx]) -> simulator.Totals:
    """The simulator's own totals."""
    return await simulator.totals(tx)


@get(f"{SIMULATOR}/behaviour", opt={"worker": True}, include_in_schema=False)
async def show_behaviour(tx: NamedDependency[Tx]) -> simulator.Behaviour:
    return await simulator.behaviour(tx)


@post(f"{SIMULATOR}/behaviour", opt={"worker": True}, include_in_schema=False, status_code=200)
async def behave(tx: NamedDependency[Tx], data: JSONBody[simulator.Behaviour]) -> simulator.Behaviour:
    """Tell the simulator what to do wrong."""
    return await simulator.behave(tx, data)
