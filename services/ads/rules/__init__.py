"""Pure rules of advertising: booking, review, decision, pacing, tokens and traffic."""
