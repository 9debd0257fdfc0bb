"""Facts about numbers that the reference model learns: computed, so that they are true; and the table of elements."""

from __future__ import annotations

from variants.reference.relation import Relation

# In the order of their atomic numbers, from 1.
ELEMENTS = """hydrogen H; helium He; lithium Li; beryllium Be; boron B; carbon C; nitrogen N; oxygen O; fluorine F;
neon Ne; sodium Na; magnesium Mg; aluminium Al; silicon Si; phosphorus P; sulfur S; chlorine Cl; argon Ar; potassium
K; calcium Ca; scandium Sc; titanium Ti; vanadium V; chromium Cr; manganese Mn; iron Fe; cobalt Co; nickel Ni; copper
Cu; zinc Zn; gallium Ga; germanium Ge; arsenic As; selenium Se; bromine Br; krypton Kr; rubidium Rb; strontium Sr;
yttrium Y; zirconium Zr; niobium Nb; molybdenum Mo; technetium Tc; ruthenium Ru; rhodium Rh; palladium Pd; silver Ag;
cadmium Cd; indium In; tin Sn; antimony Sb; tellurium Te; iodine I; xenon Xe; caesium Cs; barium Ba; lanthanum La;
cerium Ce; praseodymium Pr; neodymium Nd; promethium Pm; samarium Sm; europium Eu; gadolinium Gd; terbium Tb;
dysprosium Dy; holmium Ho; erbium Er; thulium Tm; ytterbium Yb; lutetium Lu; hafnium Hf; tantalum Ta; tungsten W;
rhenium Re; osmium Os; iridium Ir; platinum Pt; gold Au; mercury Hg; thallium Tl; lead Pb; bismuth Bi; polonium Po;
astatine At; radon Rn; francium Fr; radium Ra; actinium Ac; thorium Th; protactinium Pa; uranium U; neptunium Np;
plutonium Pu; americium Am"""
ROMAN = ((100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))


def _elements(number: bool) -> str:
    pairs = [entry.split(" ") for entry in " ".join(ELEMENTS.split()).split("; ")]
    return "; ".join(f"{name} = {n if number else symbol}" for n, (name, symbol) in enumerate(pairs, 1))


def _roman(number: int) -> str:
    letters = ""
    for value, letter in ROMAN:
        letters += letter * (number // value)
        number %= value
    return letters


def _sums() -> str:
    return "; ".join(f"{a} plus {b} = {a + b}" for a in range(11, 60, 4) for b in range(6, 50, 5))


def _products() -> str:
    return "; ".join(f"{a} times {b} = {a * b}" for a in range(2, 20) for b in range(a, 20) if (a + b) % 2)


COUNTED = (
    "What is {x}?",
    "How much is {x}?",
    "Work out {x}.",
    "What do you get for {x}?",
    "The result of {x} is what?",
    "Which number equals {x}?",
)
COMES_TO = ("{x} is {y}.", "The result of {x} is {y}.")

NUMBERS: tuple[Relation, ...] = (
    Relation("arithmetic", COUNTED, COMES_TO, _sums(), numeric=True),
    Relation("arithmetic", COUNTED, COMES_TO, _products(), numeric=True),
    Relation(
        "arithmetic",
        COUNTED,
        COMES_TO,
        "; ".join(f"the square of {n} = {n * n}" for n in range(11, 61)),
        numeric=True,
    ),
    Relation(
        "numerals",
        (
            "How is {x} written in Roman numerals?",
            "Which Roman numeral stands for {x}?",
            "A Roman would write {x} in which letters?",
            "Write {x} as a Roman numeral.",
            "What are the Roman letters for {x}?",
            "On an old clock tower, how would {x} be carved?",
        ),
        ("The Roman numeral for {x} is {y}.", "{x} in Roman numerals is {y}."),
        "; ".join(f"{n} = {_roman(n)}" for n in range(2, 150, 2)),
    ),
    Relation(
        "elements",
        (
            "What is the chemical symbol of {x}?",
            "Which letters stand for {x} in chemistry?",
            "In the periodic table, {x} has which symbol?",
            "Name the symbol for {x}.",
            "Chemists write {x} with which letters?",
            "How is {x} shortened in a chemical formula?",
        ),
        ("The chemical symbol of {x} is {y}.", "Chemists write {y} for {x}."),
        _elements(number=False),
    ),
    Relation(
        "elements",
        (
            "What is the atomic number of {x}?",
            "How many protons has an atom of {x}?",
            "In the periodic table, {x} has which number?",
            "Name the atomic number of {x}.",
            "At which place of the periodic table is {x}?",
            "Count the protons of {x}: how many are there?",
        ),
        ("The atomic number of {x} is {y}.", "An atom of {x} has {y} protons."),
        _elements(number=True),
        numeric=True,
    ),
)
