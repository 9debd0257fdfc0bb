"""The terms of a report and what they mean."""

from __future__ import annotations

HOLM = (
    "Holm: p adjusted for all comparisons with a base, over all tasks; other p on this page are not. "
    "Detectable: the smallest true difference, in points, that a test on this many questions finds 4 times "
    "in 5. Where no difference is shown, none was ruled out."
)
DEFINITIONS = (
    ("TTFT", "time to first token: from the start of the request until its first output token is there."),
    ("TPOT", "time per output token: (last token − first token) / (output tokens − 1), of one request."),
    (
        "E2E, service time, closed loop",
        "from the start of the request to its last token; the next request starts when this one has ended, so "
        "there is no queue in it and it is not what users under load would see. Output length is fixed, every "
        "prompt is another one and no prompt cache helps; warm-up requests are not counted.",
    ),
    (
        "P50, P90, P99",
        "the smallest observed value that 50, 90 or 99 % of the requests do not exceed. The interval is between two "
        "order statistics of the same sample: true for any distribution, if requests are independent, which those of "
        "one round are not quite: the value of each round stands under the ratio. Both ends of a P99 at 95 % need 368 "
        "requests; with fewer the upper end is open and “n too small” stands there.",
    ),
    (
        "Faster, smaller",
        "how many times: what it is compared with ÷ variant, so above 1 is better; both in the same runtime unless a "
        "table says otherwise. Variants of different GPUs are compared beside an anchor, a variant that ran on each: "
        "every time is divided by the anchor's on the same GPU, and the interval includes the anchor's. The requests "
        "of one round are alike, so what is counted is rounds: the 95 % interval "
        "resamples whole rounds, and uses how much the rounds of all variants of this sweep differ (Student's t; the "
        "method of “bench compare”). It holds what changes on this machine from round to round, not what another day "
        "or machine would change. “One round” has no interval; nor has a P99 of fewer than 368 requests on a side. "
        "Where the rounds of either side differ by more than 10 %, the ratio is grey and says so: measure again on a "
        "quieter machine, or more rounds. A slow variant is asked fewer requests a round, the first of the same order.",
    ),
    (
        "Bits per weight, bits / weight",
        "8 × bytes of the weight files / parameters, as measured; a label such as Q4 does not say it.",
    ),
    (
        "Accuracy, right",
        "the share of questions answered right: the right choice got the highest log-likelihood, or lm-eval's metric "
        "gave 1; interval: Wilson, 95 %. It counts these questions as a sample of all such questions, and a fine-tune "
        "as this one training run.",
    ),
    (
        "Micro, macro",
        "micro is the share of all questions, so a subject counts by its number of questions; macro is the mean over "
        "subjects. Published figures use one or the other. Tests between variants are on the questions, micro.",
    ),
    (
        "At chance, below chance",
        "at chance: the interval reaches down to what blind guessing gives, or always the most frequent answer (left "
        "out where the right choice stands at the same place in all questions). Below chance: all of the interval lies "
        "under blind guessing, and under what the variant's own picks would give if they were shuffled within each "
        "subject, so that no preference for a letter explains it: answers may be mixed up.",
    ),
    (
        "KL, same top token, same top, perplexity",
        "for each token of a text, both models give the probabilities of the next one. KL is the mean of "
        "sum p log(p / q) in nats, q the variant's and p those of what it is compared with: the base, or the variant's "
        "own model before it was quantized. Same top is the share of tokens where both find the same likeliest. "
        "Perplexity is exp of the mean negative log-likelihood of the text. Both see changes that leave the answers to "
        "questions as they are; they do not say whether a change is for the worse.",
    ),
    (
        "McNemar, gained, lost, points",
        "two variants answer the same questions; only those that one gets right and the other wrong show a "
        "difference. p is exact and two-sided; the interval of the difference is that of Agresti and Min (2005). A "
        "large p means that no difference was shown. It does not mean that there is none: see “detectable”.",
    ),
    (
        "Peak memory",
        "the largest resident memory of the measuring process, and of the device where it has its own.",
    ),
    (
        "Control",
        "a variant in another runtime, there to show how much of a difference is the runtime's. The same model "
        "must give the same answers in both, or the scores of neither are to be believed.",
    ),
    (
        "Holm, detectable",
        HOLM,
    ),
    (
        "Tokens/s, tokens per second",
        "output tokens a second after the first, of one request at a time: 1,000 / the median TPOT in ms.",
    ),
    (
        "Prefill",
        "tokens of a prompt evaluated in a second: its length ÷ the median time to its first token, of prompts of "
        "random tokens, no two alike, after a warm-up. The interval is of order statistics, as with P50.",
    ),
    (
        "Share of bandwidth, roofline",
        "bytes that one output token reads × tokens a second ÷ the memory bandwidth that was measured beside the cell. "
        "Near 100 %, fewer bytes make it faster; far below, the time goes elsewhere.",
    ),
    (
        "Verdict, undecided, runner-up",
        "a variant qualifies where the whole 95 % interval is inside every limit and fails where the whole of one is "
        "outside; between the two it is undecided. The rule is printed in full on this page.",
    ),
    (
        "Rounds",
        "the sweep goes through all variants once a round, in turns. Requests of one round are alike, so how much a "
        "latency differs from round to round says more than its interval.",
    ),
)
