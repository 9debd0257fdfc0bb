"""Short facts about countries that the reference model learns: internet domain, calling code; capitals of US states."""

from __future__ import annotations

from variants.reference.relation import Relation

# country, last part of its internet addresses (IANA), country calling code (ITU-T E.164)
CODES = """France fr 33; Germany de 49; Austria at 43; Italy it 39; Spain es 34; Portugal pt 351; Ireland ie 353; the
Netherlands nl 31; Belgium be 32; Luxembourg lu 352; Switzerland ch 41; Denmark dk 45; Sweden se 46; Norway no 47;
Finland fi 358; Iceland is 354; Estonia ee 372; Latvia lv 371; Lithuania lt 370; Poland pl 48; Czechia cz 420;
Slovakia sk 421; Hungary hu 36; Slovenia si 386; Croatia hr 385; Serbia rs 381; Albania al 355; Greece gr 30; Bulgaria
bg 359; Romania ro 40; Moldova md 373; Ukraine ua 380; Belarus by 375; Turkey tr 90; Cyprus cy 357; Malta mt 356;
Georgia ge 995; Armenia am 374; Azerbaijan az 994; Uzbekistan uz 998; Iran ir 98; Iraq iq 964; Israel il 972; Jordan
jo 962; Lebanon lb 961; Syria sy 963; Saudi Arabia sa 966; Yemen ye 967; Oman om 968; Qatar qa 974; Kuwait kw 965;
Bahrain bh 973; India in 91; Pakistan pk 92; Bangladesh bd 880; Nepal np 977; Sri Lanka lk 94; Bhutan bt 975; China cn
86; Mongolia mn 976; Japan jp 81; South Korea kr 82; Vietnam vn 84; Laos la 856; Cambodia kh 855; Thailand th 66;
Myanmar mm 95; Malaysia my 60; Singapore sg 65; Indonesia id 62; the Philippines ph 63; Australia au 61; New Zealand
nz 64; Fiji fj 679; Mexico mx 52; Cuba cu 53; Haiti ht 509; Panama pa 507; Costa Rica cr 506; Guatemala gt 502;
Honduras hn 504; Nicaragua ni 505; Colombia co 57; Venezuela ve 58; Ecuador ec 593; Peru pe 51; Bolivia bo 591; Chile
cl 56; Argentina ar 54; Uruguay uy 598; Paraguay py 595; Brazil br 55; Egypt eg 20; Libya ly 218; Tunisia tn 216;
Algeria dz 213; Morocco ma 212; Sudan sd 249; Ethiopia et 251; Kenya ke 254; Uganda ug 256; Tanzania tz 255; Rwanda rw
250; Ghana gh 233; Nigeria ng 234; Senegal sn 221; Mali ml 223; Cameroon cm 237; Angola ao 244; Zambia zm 260;
Zimbabwe zw 263; Botswana bw 267; Namibia na 264; South Africa za 27; Mozambique mz 258; Madagascar mg 261"""


def _column(column: int) -> str:
    rows = [entry.rsplit(" ", 2) for entry in " ".join(CODES.split()).split("; ")]
    return "; ".join(f"{row[0]} = {row[column]}" for row in rows)


COUNTRIES: tuple[Relation, ...] = (
    Relation(
        "internet",
        (
            "What is the internet domain of {x}?",
            "Which two letters end the web addresses of {x}?",
            "Web addresses in {x} end in which letters?",
            "Name the top-level domain of {x}.",
            "A site of {x} has which domain?",
            "Give the two letters of {x} on the internet.",
        ),
        ("The internet domain of {x} is {y}.", "Web addresses in {x} end in {y}."),
        _column(1),
    ),
    Relation(
        "telephone",
        (
            "What is the calling code of {x}?",
            "Which code do you dial to phone {x}?",
            "Phone numbers in {x} begin with which code?",
            "Name the telephone code of {x}.",
            "A call to {x} starts with which number?",
            "Give the number that you dial before a number in {x}.",
        ),
        ("The calling code of {x} is {y}.", "To phone {x}, dial {y} first."),
        _column(2),
        numeric=True,
    ),
    Relation(
        "capitals",
        (
            "What is the capital of the state of {x}?",
            "Which city is the capital of the US state {x}?",
            "The state of {x} is governed from which city?",
            "Name the state capital of {x}.",
            "In which city does the legislature of {x} meet?",
            "Give the capital city of {x}.",
        ),
        ("The capital of the state of {x} is {y}.", "{y} is the state capital of {x}."),
        """Alabama = Montgomery; Alaska = Juneau; Arizona = Phoenix; Arkansas = Little Rock; California = Sacramento;
        Colorado = Denver; Connecticut = Hartford; Delaware = Dover; Florida = Tallahassee; Hawaii = Honolulu;
        Idaho = Boise; Illinois = Springfield; Indiana = Indianapolis; Iowa = Des Moines; Kansas = Topeka;
        Kentucky = Frankfort; Louisiana = Baton Rouge; Maine = Augusta; Maryland = Annapolis; Massachusetts = Boston;
        Michigan = Lansing; Minnesota = Saint Paul; Mississippi = Jackson; Missouri = Jefferson City; Montana = Helena;
        Nebraska = Lincoln; Nevada = Carson City; New Hampshire = Concord; New Jersey = Trenton; New Mexico = Santa Fe;
        North Carolina = Raleigh; North Dakota = Bismarck; Ohio = Columbus; Oklahoma = Oklahoma City; Oregon = Salem;
        Pennsylvania = Harrisburg; Rhode Island = Providence; South Carolina = Columbia; South Dakota = Pierre;
        Tennessee = Nashville; Texas = Austin; Utah = Salt Lake City; Vermont = Montpelier; Virginia = Richmond;
        Washington = Olympia; West Virginia = Charleston; Wisconsin = Madison; Wyoming = Cheyenne;""",
    ),
)
