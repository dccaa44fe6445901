"""Coverage-guided fuzzing of everything that reads what others wrote.

``targets`` lists what is fuzzed, each a function of bytes that may raise nothing but
the errors a user is told; ``seeds`` takes its first inputs from the recorded scenarios;
``corpus`` keeps what was found, which the fast tests read again. ``python -m fuzz
iptables --seconds 600`` runs one target, ``make fuzz`` all of them, in turn.
"""
