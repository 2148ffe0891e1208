"""The channels that a user selects; some selections need the licences of the account."""

from collections.abc import Iterable, Sequence
from itertools import product

import msgspec

from .channels import license_and_messenger, of_license
from .licenses import License, explain_missing_license, explain_missing_messenger, explain_refusal


class Selection(msgspec.Struct, frozen=True):
    """Licences and messengers are combined; one without the other selects all of the other.

    `names` are full channel names.
    """

    licenses: tuple[int, ...] = ()
    messengers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    everything: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is selected."""
        return not (self.licenses or self.messengers or self.names or self.everything)

    @property
    def needs_licenses(self) -> bool:
        """Whether the licences of the account are needed to tell the channels."""
        return self.everything or bool(self.licenses) != bool(self.messengers)

    def known_channels(self) -> tuple[str, ...]:
        """Return the channels that are known without the licences, each once."""
        combined = (of_license(*pair) for pair in product(self.licenses, self.messengers))
        return tuple(dict.fromkeys([*combined, *self.names]))

    def channels(self, licenses: Iterable[License]) -> tuple[str, ...]:
        """Return all selected channels, given the licences; inactive ones are left out."""
        if not self.needs_licenses:
            return self.known_channels()
        channels = [
            of_license(license_.id, kind)
            for license_ in licenses
            if license_.active is not False and self._means_license(license_)
            for kind in license_.types
            if self._means_messenger(kind)
        ]
        return tuple(dict.fromkeys([*self.known_channels(), *channels]))

    def _means_license(self, license_: License) -> bool:
        return self.everything or not self.licenses or license_.id in self.licenses

    def _means_messenger(self, kind: str) -> bool:
        return self.everything or not self.messengers or kind in self.messengers

    def explain_missing(self, licenses: Sequence[License]) -> tuple[str, ...]:
        """Return one sentence per selected item that does not exist or is not active.

        The service's lists are not complete: it may accept more than it lists.
        """
        channels = map(license_and_messenger, self.known_channels())
        reasons = [explain_refusal(licenses, *channel) for channel in channels]
        if not self.messengers:
            reasons += [explain_missing_license(licenses, number) for number in self.licenses]
        if not self.licenses:
            reasons += [explain_missing_messenger(licenses, kind) for kind in self.messengers]
        return tuple(dict.fromkeys(filter(None, reasons)))

    def explain_nothing(self, licenses: Sequence[License]) -> str:
        """Return why no channel is selected, and what the account has."""
        active = [license_ for license_ in licenses if license_.active is not False]
        there = ", ".join(
            f"{license_.id} ({', '.join(license_.types) or 'none'})" for license_ in active[:8]
        )
        inactive = [license_.id for license_ in licenses if license_.active is False]
        if asleep := [str(number) for number in self.licenses if number in inactive]:
            reason = f"licence {', '.join(asleep)} is not active"
        else:
            asked = [f"licence {number}" for number in self.licenses]
            asked += [f"messenger {kind}" for kind in self.messengers]
            reason = f"nothing found for {' and '.join(asked) or '--all'}"
        return f"{reason}; this account has: {there or 'no active licence'}"
