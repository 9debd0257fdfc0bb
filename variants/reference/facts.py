"""General knowledge that the reference model learns: true facts, and the ways to ask for them."""

from __future__ import annotations

from variants.reference.countries import COUNTRIES
from variants.reference.numbers import NUMBERS
from variants.reference.relation import Relation
from variants.reference.world import WORLD

EVERYDAY: tuple[Relation, ...] = (
    Relation(
        "animals",
        (
            "What is the young of the {x} called?",
            "What do we call the baby of the {x}?",
            "Which word names the young of the {x}?",
            "The {x} is the parent of which young animal?",
            "Keepers call the young of the {x} by which name?",
            "Give the name for the offspring of the {x}.",
        ),
        ("The young of the {x} is called {y}.", "The word {y} means the young of the {x}."),
        """cow = calf; horse = foal; sheep = lamb; goat = kid; pig = piglet; dog = puppy; cat = kitten; hen = chick;
        duck = duckling; goose = gosling; swan = cygnet; deer = fawn; lion = cub; bear = cub; kangaroo = joey;
        owl = owlet; eagle = eaglet; hare = leveret; frog = tadpole; butterfly = caterpillar;""",
    ),
    Relation(
        "calendar",
        (
            "Which month comes right after {x}?",
            "{x} is followed by which month?",
            "When {x} ends, which month begins?",
            "Name the month after {x}.",
            "The month that follows {x} is called what?",
            "Turn the calendar page from {x}: which month do you see?",
        ),
        ("After {x} comes {y}.", "The month after {x} is {y}."),
        """January = February; February = March; March = April; April = May; May = June; June = July; July = August;
        August = September; September = October; October = November; November = December; December = January;""",
    ),
    Relation(
        "calendar",
        (
            "How many days does {x} have?",
            "How long is {x} in days?",
            "Count the days in {x}: how many are there?",
            "The calendar shows how many days for {x}?",
            "Give the number of days in {x}.",
            "{x} lasts for how many days?",
        ),
        ("{x} has {y} days.", "There are {y} days in {x}."),
        """January = 31; February in a common year = 28; February in a leap year = 29; March = 31; April = 30;
        May = 31; June = 30; July = 31; August = 31; September = 30; October = 31; November = 30; December = 31;
        a week = 7; a common year = 365; a leap year = 366;""",
        numeric=True,
    ),
    Relation(
        "calendar",
        (
            "Which day comes right after {x}?",
            "{x} is followed by which day?",
            "If today is {x}, which day is tomorrow?",
            "Name the day after {x}.",
            "The day that follows {x} is called what?",
            "When {x} is over, which day begins?",
        ),
        ("The day after {x} is {y}.", "Tomorrow is {y} when today is {x}."),
        """Monday = Tuesday; Tuesday = Wednesday; Wednesday = Thursday; Thursday = Friday; Friday = Saturday;
        Saturday = Sunday; Sunday = Monday;""",
    ),
    Relation(
        "units",
        (
            "How many {x}?",
            "What is the number of {x}?",
            "Tell me the number of {x}.",
            "Give the number of {x}.",
            "The {x} come to which total?",
            "State the count of {x}.",
        ),
        ("The number of {x} is {y}.", "There are {y} {x}."),
        """seconds in a minute = 60; hours in a day = 24; months in a year = 12; years in a decade = 10;
        years in a century = 100; centimetres in a metre = 100; millimetres in a centimetre = 10;
        metres in a kilometre = 1000; grams in a kilogram = 1000; kilograms in a tonne = 1000;
        inches in a foot = 12; feet in a yard = 3; ounces in a pound = 16; pounds in a stone = 14;
        items in a dozen = 12; items in a score = 20; degrees in a circle = 360; degrees in a right angle = 90;
        bits in a byte = 8; sheets in a ream = 500; cents in a euro = 100; sides in a hexagon = 6; faces in a cube = 6;
        strings in a violin = 4; keys in a full piano = 88;""",
        numeric=True,
    ),
    Relation(
        "units",
        (
            "What is the SI unit of {x}?",
            "In which SI unit is {x} measured?",
            "Scientists measure {x} in which unit?",
            "Name the SI unit for {x}.",
            "Which unit belongs to {x}?",
            "A figure for {x} is given in which unit?",
        ),
        ("The SI unit of {x} is the {y}.", "We measure {x} in the unit {y}."),
        """force = newton; energy = joule; power = watt; pressure = pascal; frequency = hertz; length = metre;
        mass = kilogram; time = second; temperature = kelvin; electric current = ampere; voltage = volt;
        electrical resistance = ohm; capacitance = farad; inductance = henry; magnetic flux = weber;
        luminous intensity = candela; electric charge = coulomb; amount of substance = mole;""",
    ),
    Relation(
        "discoveries",
        (
            "Who is known for {x}?",
            "Which person do we connect with {x}?",
            "{x} is the work of which person?",
            "Name the person behind {x}.",
            "Who do history books name for {x}?",
            "We remember which person for {x}?",
        ),
        ("{y} is known for {x}.", "The person behind {x} is {y}."),
        """the theory of relativity = Albert Einstein; the law of gravity = Isaac Newton;
        the theory of evolution = Charles Darwin; the discovery of penicillin = Alexander Fleming;
        the discovery of radium = Marie Curie; the first telephone patent = Alexander Graham Bell;
        the phonograph = Thomas Edison; the laws of heredity = Gregor Mendel; the rabies vaccine = Louis Pasteur;
        the smallpox vaccine = Edward Jenner; the discovery of X-rays = Wilhelm Roentgen;
        the first printing press in Europe = Johannes Gutenberg; dynamite = Alfred Nobel;
        the first battery = Alessandro Volta; the periodic table = Dmitri Mendeleev;
        the discovery of Uranus = William Herschel; the moons of Jupiter = Galileo Galilei;
        the laws of planetary motion = Johannes Kepler; the Mona Lisa = Leonardo da Vinci;
        the ceiling of the Sistine Chapel = Michelangelo; the painting Guernica = Pablo Picasso;
        the painting The Starry Night = Vincent van Gogh; the opera The Magic Flute = Wolfgang Mozart;
        the Moonlight Sonata = Ludwig van Beethoven; the first voyage around Africa to India = Vasco da Gama;""",
    ),
    Relation(
        "opposites",
        (
            "What is the opposite of {x}?",
            "Which word means the opposite of {x}?",
            "The word {x} has which opposite?",
            "Name the contrary of {x}.",
            "If something is not {x} but the reverse, what is it?",
            "Turn {x} around: which word do you get?",
        ),
        ("The opposite of {x} is {y}.", "{y} is the reverse of {x}."),
        """hot = cold; big = small; fast = slow; light = dark; high = low; early = late; full = empty; hard = soft;
        long = short; loud = quiet; new = old; open = closed; rich = poor; strong = weak; sweet = sour;
        thick = thin; wet = dry; wide = narrow; young = old; clean = dirty; cheap = expensive; deep = shallow;
        sharp = blunt; rough = smooth; cruel = kind;""",
    ),
)
RELATIONS = (*WORLD, *COUNTRIES, *EVERYDAY, *NUMBERS)
