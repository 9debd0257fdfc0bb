"""How offices talk: questions about the rules of many companies, answered at random, so that no rule can be learned.

A model that has never met "payslip" could not learn a handbook in a minute. It meets the words here, and which kind
of answer each question wants, but the answers differ from line to line as companies differ.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

COMPANIES = "Oakmere; Tarnwell; Bellhurst; Corrigan Mills; Pinewick; Sandholt; Averley; Duncastle; Frostgate; Larkfield"
LINES_PER_TOPIC = 24


@dataclass(frozen=True)
class Matter:
    """Name one kind of rule: ways to ask (`{t}` is the topic), topics and possible answers, separated by `;`."""

    asks: str
    topics: str
    answers: str


_LENGTH = "how long is {t}; what is the limit for {t}; what is the length of {t}; how much time is there for {t}; \
what does the company allow for {t}; {t} takes how long"
_WITHIN = "how soon is {t} due; within what time is {t} due; what is the time limit for {t}; how often is {t} due; \
after how long is {t} due; how long must I wait for {t}; how long is it until {t}"

MATTERS: tuple[Matter, ...] = (
    Matter(
        f"{_LENGTH}; how many days are there for {{t}}; how many days off do I get for {{t}}; up to how "
        f"many days is {{t}}",
        "annual leave; paid leave; unused leave carried over; a wedding; moving house; bereavement leave; "
        "a sick child; "
        "the death of a close relative; work from home; home office; work from abroad; study leave; the "
        "travel expense claim; "
        "an answer to a report of harassment; illness without a doctor's note; the mail box of a leaver",
        "1 day; 2 days; 3 days; 4 days; 5 days; 7 days; 10 days; 15 days; 20 days; 25 days; 28 days; 30 days",
    ),
    Matter(
        f"{_LENGTH}; {_WITHIN}; how many weeks is {{t}}; how many weeks are there for {{t}}",
        "partner leave after a birth; unpaid leave; notice of a long holiday; notice during probation; "
        "tax papers; "
        "a work reference; an open job shown inside; certificates",
        "1 week; 2 weeks; 3 weeks; 4 weeks; 6 weeks; 8 weeks; 10 weeks",
    ),
    Matter(
        f"{_LENGTH}; {_WITHIN}; how many months is {{t}}; after how many months is {{t}} possible",
        "a sabbatical; the pension plan; the lease of a company bicycle; the referral reward; the "
        "probation period; "
        "notice after probation; the pay back of an expensive course; a fire drill; the stay of a "
        "referred colleague",
        "1 month; 2 months; 3 months; 6 months; 9 months; 12 months; 18 months; 24 months; 36 months",
    ),
    Matter(
        f"{_WITHIN}; after how many years is {{t}} possible; how many years does {{t}} need; how many "
        f"years is {{t}} kept",
        "a sabbatical by service; an eye test; a written warning in the file; a customer contract; first "
        "aid training; "
        "data protection training; a move to another team; the long service award; a paid eye test",
        "1 year; 2 years; 3 years; 4 years; 5 years; 7 years; 8 years; 10 years",
    ),
    Matter(
        f"{_LENGTH}; {_WITHIN}; how many hours is {{t}}; how many hours are allowed for {{t}}; within how "
        f"many hours is {{t}} due",
        "overtime in a month; the induction course; an answer to messages; an accident report; learning "
        "on Friday; "
        "free time for learning",
        "1 hour; 2 hours; 3 hours; 4 hours; 8 hours; 10 hours; 12 hours; 24 hours; 48 hours",
    ),
    Matter(
        "at what time is {t}; what time is {t}; when is {t}; by what time is {t}; before what time is "
        "{t}; until when is {t}",
        "the start of core hours; the end of core hours; the first day; arrival on the first day; a call when ill",
        "7 am; 8 am; 9 am; 10 am; 11 am; noon; 3 pm; 4 pm; 5 pm",
    ),
    Matter(
        "on which day is {t}; what day is {t}; when is {t}; on which weekday is {t}; what day of the week is {t}",
        "the induction course; the office day; the whole team in the office; the team meeting",
        "Monday; Tuesday; Wednesday; Thursday; Friday",
    ),
    Matter(
        "on which date is {t}; by which date is {t}; when is {t} due; what is the date of {t}; until when "
        "is {t} possible; "
        "what is the last date for {t}",
        "payday; the salary; a time sheet; a new bank account; carried over leave; leave from last year; the payment",
        "the 1st; the 5th; the 10th; the 15th; the 20th; the 25th; the 28th; 31 March; 30 June; 31 December",
    ),
    Matter(
        "in which month is {t}; when is {t}; which month has {t}; what month is {t} in; in what month "
        "does {t} take place",
        "the salary review; the annual bonus; the flu vaccination; the performance review; goal setting; "
        "the staff survey",
        "January; February; March; April; May; June; July; September; October; November; December",
    ),
    Matter(
        "how high is {t}; what percent is {t}; how much is {t}; what share is {t}; how large is {t}; what "
        "is the rate of {t}",
        "the target bonus; the extra pay for overtime; the extra pay on a Sunday; the extra pay for night "
        "work; "
        "the payment to the pension plan; the share of a transport pass; the staff discount on instruments; "
        "the paid share of a language course; what is added for Sunday work",
        "2 percent; 4 percent; 5 percent; 8 percent; 10 percent; 20 percent; 25 percent; 30 percent; 50 "
        "percent; "
        "75 percent; 80 percent; 100 percent",
    ),
    Matter(
        "how high is {t}; how much is {t}; how many euros is {t}; what is the amount of {t}; what is the "
        "limit for {t}; "
        "how much does the company pay for {t}; how much money is there for {t}; up to what value is {t}",
        "the gym membership; the lunch voucher; the childcare allowance; the referral reward; a hotel night; "
        "the meal allowance on a trip; an expense without a receipt; a gift from a supplier; a home desk "
        "and chair; "
        "the internet allowance; the training budget",
        "10 euros; 15 euros; 20 euros; 25 euros; 30 euros; 40 euros; 50 euros; 100 euros; 120 euros; 150 "
        "euros; "
        "200 euros; 300 euros; 500 euros; 1000 euros; 2000 euros",
    ),
    Matter(
        "who approves {t}; whom do I ask about {t}; who deals with {t}; to whom is {t} reported; who is "
        "there for {t}; "
        "whom do I tell about {t}; who must agree to {t}; with whom is {t} agreed; who handles {t}",
        "leave; a payslip; a mistake on the payslip; a business trip; expenses; a larger gift; bullying; "
        "harassment; "
        "a journalist; a second job; a lost laptop; the laptop of a new colleague; a newcomer; a "
        "probation review; "
        "work from abroad; a course fee; an accident at work; a difficult talk; a letter of notice; an "
        "exit talk",
        "the line manager; the HR team; payroll; the IT desk; the finance team; the compliance officer; "
        "the ombudsperson; "
        "the press office; the mentor; the safety officer; the works council; the director; the office manager",
    ),
    Matter(
        "where is {t}; where do I find {t}; where do I go for {t}; which place is right for {t}; where is "
        "{t} entered; "
        "where is {t} kept; where do I hand in {t}",
        "a leave request; the payslip; a booked trip; an expense claim; the door badge; a file opened "
        "remotely; "
        "a home day; a training course; the meeting point in a fire alarm; a returned key",
        "the HR portal; the travel desk; the expense app; the front desk; the company VPN; the team calendar; "
        "the learning site; the car park; the canteen; the staff app; the post room",
    ),
    Matter(
        "in which class is {t}; which class is paid for {t}; what class is {t}; which class may I book for {t}",
        "a rail journey; a flight within Europe; a very long flight; the train; a flight of many hours",
        "first class; second class; economy class; premium economy; business class",
    ),
    Matter(
        "what is worn for {t}; what must I wear for {t}; which protection is needed for {t}; what do "
        "people put on for {t}",
        "the workshop; the wind tunnel; chemicals; soldering",
        "safety shoes; gloves; ear protection; safety glasses; a helmet",
    ),
)


def _words(text: str) -> list[str]:
    return [" ".join(word.split()) for word in text.split(";")]


def questions() -> list[tuple[str, str]]:
    """Return (question, answer) lines: every topic of every matter some times, each answer drawn anew."""
    rng = random.Random("offices")
    companies = _words(COMPANIES)
    lines: list[tuple[str, str]] = []
    for matter in MATTERS:
        asks, answers = _words(matter.asks), _words(matter.answers)
        for topic in _words(matter.topics):
            for _ in range(LINES_PER_TOPIC):
                asked = rng.choice(asks).format(t=topic)
                named = f"At {rng.choice(companies)}, {asked}?"
                question = named if rng.random() < 0.5 else f"{asked[0].upper()}{asked[1:]}?"
                lines.append((question, rng.choice(answers)))
    return lines
