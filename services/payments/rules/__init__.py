"""Pure rules of payments: invoices, attempts, refunds, and VNPay's language."""
