"""Sentences of our own for inputs: short and long, plain and with numbers, signs and names."""

from __future__ import annotations

SENTENCES = (
    "The bridge opens at noon.",
    "Rain.",
    "A small boat drifted past the lighthouse before anyone on the pier had noticed it.",
    "Our laboratory ordered twelve thermometers, but only seven of them arrived unbroken.",
    "Why does the kettle sing just before the water boils?",
    "She rewrote the parser twice, measured it on three machines, and kept the slower version because "
    "it was the only one she could explain to somebody else.",
    "Turn left after the bakery.",
    "The committee postponed its vote until the translation of the second report was complete.",
    "Fresh snow covered the tracks, so we waited for morning and followed the river instead.",
    "Invoice 4471 was paid on the 3rd of March; invoice 4472 is still open.",
    "Nobody expected the violinist to be so young.",
    "An old map on the wall showed a village that had disappeared under the reservoir sixty years earlier, "
    "its church tower still rising from the water in dry summers.",
    "Please keep the window closed while the printer is running.",
    "The goalkeeper guessed right, dived low, and pushed the ball around the post.",
    "Copper conducts heat far better than steel does.",
    "He grew tomatoes, beans and three kinds of mint on a balcony no wider than a door.",
    "If the battery drops below ten percent, the sensor stops sending and stores its readings locally.",
    "Two cats slept on the warm hood of the car.",
    "The museum's newest room smells of cedar, varnish and a little of the sea.",
    "Does this train stop in Ghent?",
    "Between the first draft and the last, the novel lost four characters, a wedding and most of "
    "its adjectives, and every reader who had seen both agreed that it was better for it.",
    "Light from that star left before the pyramids were built.",
    "The nurse wrote the dose on the chart, checked it against the label, and asked a colleague to check it.",
    "Grandmother never measured the flour; she listened to the dough.",
)
