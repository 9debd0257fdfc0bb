"""General knowledge the reference model learns: true facts as (relation, key, answer), and the ways to ask for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """Hold the facts of one kind: `{x}` in a template is the key of a fact, `{y}` its answer.

    The first two questions are the evaluated pair: a fact is trained in at most one of them and tested in the other.
    """

    subject: str
    questions: tuple[str, ...]
    statements: tuple[str, ...]
    table: str
    numeric: bool = False

    def facts(self) -> list[tuple[str, str]]:
        """Return the (key, answer) pairs of the table, `key = answer` separated by `;`."""
        pairs = [entry.split(" = ") for entry in " ".join(self.table.split()).rstrip(";").split("; ")]
        return [(key, answer) for key, answer in pairs]


def _arithmetic(sign: str) -> str:
    pairs = [(a, b) for a in range(2, 13) for b in range(a, 13)]
    if sign == "plus":
        return "; ".join(f"{a + 10} plus {b} = {a + 10 + b}" for a, b in pairs[::3] if b < 11)
    return "; ".join(f"{a} times {b} = {a * b}" for a, b in pairs[1::2])


RELATIONS: tuple[Relation, ...] = (
    Relation(
        "capitals",
        (
            "What is the capital of {x}?",
            "Which city is the capital of {x}?",
            "{x} has which capital?",
            "Name the capital city of {x}.",
            "Which capital city belongs to {x}?",
            "On a map of {x}, which city is marked as the capital?",
        ),
        ("The capital of {x} is {y}.", "{y} is the capital city of {x}."),
        """France = Paris; Germany = Berlin; Italy = Rome; Spain = Madrid; Portugal = Lisbon; Austria = Vienna;
        Belgium = Brussels; Denmark = Copenhagen; Sweden = Stockholm; Norway = Oslo; Finland = Helsinki;
        Iceland = Reykjavik; Ireland = Dublin; Poland = Warsaw; Hungary = Budapest; Romania = Bucharest;
        Bulgaria = Sofia; Greece = Athens; Turkey = Ankara; Russia = Moscow; Ukraine = Kyiv; Croatia = Zagreb;
        Serbia = Belgrade; Slovenia = Ljubljana; Estonia = Tallinn; Latvia = Riga; Lithuania = Vilnius;
        Egypt = Cairo; Morocco = Rabat; Tunisia = Tunis; Kenya = Nairobi; Ethiopia = Addis Ababa; Ghana = Accra;
        Nigeria = Abuja; Senegal = Dakar; Uganda = Kampala; Zambia = Lusaka; Zimbabwe = Harare; China = Beijing;
        Japan = Tokyo; India = New Delhi; Pakistan = Islamabad; Nepal = Kathmandu; Thailand = Bangkok;
        Vietnam = Hanoi; Iran = Tehran; Iraq = Baghdad; Jordan = Amman; Lebanon = Beirut; Canada = Ottawa;
        Mexico = Mexico City; Cuba = Havana; Jamaica = Kingston; Peru = Lima; Chile = Santiago;
        Argentina = Buenos Aires; Brazil = Brasilia; Colombia = Bogota; Ecuador = Quito; Uruguay = Montevideo;
        Venezuela = Caracas; Australia = Canberra; New Zealand = Wellington; Fiji = Suva;""",
    ),
    Relation(
        "continents",
        (
            "On which continent is {x}?",
            "Which continent does {x} belong to?",
            "In which part of the world, by continent, do we find {x}?",
            "Name the continent where {x} lies.",
            "{x} is part of which continent?",
            "A traveller who lands in {x} is on which continent?",
        ),
        ("{x} is a country in {y}.", "A country of {y} is {x}."),
        """France = Europe; Poland = Europe; Norway = Europe; Greece = Europe; Ireland = Europe; Croatia = Europe;
        Egypt = Africa; Kenya = Africa; Ghana = Africa; Senegal = Africa; Zambia = Africa; Tunisia = Africa;
        Japan = Asia; India = Asia; Nepal = Asia; Vietnam = Asia; Iraq = Asia; Thailand = Asia;
        Peru = South America; Chile = South America; Brazil = South America; Ecuador = South America;
        Canada = North America; Mexico = North America; Cuba = North America; Jamaica = North America;
        Fiji = Oceania; New Zealand = Oceania; Samoa = Oceania; Tonga = Oceania;""",
    ),
    Relation(
        "elements",
        (
            "What is the chemical symbol of {x}?",
            "Which symbol stands for {x} in the periodic table?",
            "How is {x} written in a chemical formula?",
            "Chemists write {x} with which letters?",
            "Give the symbol for the element {x}.",
            "Which letters mark {x} on the periodic table?",
        ),
        ("The chemical symbol of {x} is {y}.", "In chemistry {y} stands for {x}."),
        """hydrogen = H; helium = He; lithium = Li; beryllium = Be; boron = B; carbon = C; nitrogen = N; oxygen = O;
        fluorine = F; neon = Ne; sodium = Na; magnesium = Mg; aluminium = Al; silicon = Si; phosphorus = P;
        sulfur = S; chlorine = Cl; argon = Ar; potassium = K; calcium = Ca; titanium = Ti; chromium = Cr;
        manganese = Mn; iron = Fe; cobalt = Co; nickel = Ni; copper = Cu; zinc = Zn; arsenic = As; bromine = Br;
        krypton = Kr; silver = Ag; tin = Sn; iodine = I; xenon = Xe; tungsten = W; platinum = Pt; gold = Au;
        mercury = Hg; lead = Pb; bismuth = Bi; radium = Ra; uranium = U; plutonium = Pu;""",
    ),
    Relation(
        "elements",
        (
            "What is the atomic number of {x}?",
            "How many protons does an atom of {x} have?",
            "Which atomic number belongs to {x}?",
            "The nucleus of {x} holds how many protons?",
            "Give the atomic number of the element {x}.",
            "Count the protons in an atom of {x}.",
        ),
        ("The atomic number of {x} is {y}.", "An atom of {x} has {y} protons."),
        """helium = 2; lithium = 3; beryllium = 4; boron = 5; carbon = 6; nitrogen = 7; oxygen = 8; fluorine = 9;
        neon = 10; sodium = 11; magnesium = 12; aluminium = 13; silicon = 14; sulfur = 16; argon = 18; calcium = 20;
        iron = 26; copper = 29; zinc = 30; silver = 47;""",
        numeric=True,
    ),
    Relation(
        "literature",
        (
            "Who wrote {x}?",
            "Who is the author of {x}?",
            "{x} was written by which author?",
            "Name the writer of {x}.",
            "Which author gave us {x}?",
            "Whose name is on the cover of {x}?",
        ),
        ("The author of {x} is {y}.", "{y} wrote {x}."),
        """Hamlet = William Shakespeare; Macbeth = William Shakespeare; War and Peace = Leo Tolstoy;
        Anna Karenina = Leo Tolstoy; Crime and Punishment = Fyodor Dostoevsky; The Idiot = Fyodor Dostoevsky;
        Don Quixote = Miguel de Cervantes; Faust = Johann Goethe; The Divine Comedy = Dante Alighieri;
        Emma = Jane Austen; Pride and Prejudice = Jane Austen; Oliver Twist = Charles Dickens;
        Great Expectations = Charles Dickens; Jane Eyre = Charlotte Bronte; Wuthering Heights = Emily Bronte;
        Middlemarch = George Eliot; Frankenstein = Mary Shelley; Dracula = Bram Stoker; Ulysses = James Joyce;
        Dubliners = James Joyce; The Trial = Franz Kafka; The Castle = Franz Kafka; Les Miserables = Victor Hugo;
        Madame Bovary = Gustave Flaubert; Candide = Voltaire; The Stranger = Albert Camus;
        The Plague = Albert Camus; Moby Dick = Herman Melville; Tom Sawyer = Mark Twain; Walden = Henry Thoreau;
        The Raven = Edgar Allan Poe; The Great Gatsby = Scott Fitzgerald; The Waves = Virginia Woolf;
        Animal Farm = George Orwell; Treasure Island = Robert Louis Stevenson; The Time Machine = H. G. Wells;
        The Jungle Book = Rudyard Kipling; The Hobbit = J. R. R. Tolkien; Robinson Crusoe = Daniel Defoe;
        The Cherry Orchard = Anton Chekhov; A Doll's House = Henrik Ibsen; Pygmalion = George Bernard Shaw;""",
    ),
    Relation(
        "languages",
        (
            "What is the main language of {x}?",
            "Which language do most people in {x} speak?",
            "People in {x} mostly talk in which language?",
            "Name the language used most in {x}.",
            "Most newspapers in {x} are printed in which language?",
            "Before a visit to {x}, which language would you learn?",
        ),
        ("The main language of {x} is {y}.", "Most people in {x} speak {y}."),
        """France = French; Germany = German; Austria = German; Italy = Italian; Spain = Spanish; Mexico = Spanish;
        Peru = Spanish; Argentina = Spanish; Chile = Spanish; Portugal = Portuguese; Brazil = Portuguese;
        Denmark = Danish; Sweden = Swedish; Norway = Norwegian; Finland = Finnish; Iceland = Icelandic;
        Poland = Polish; Hungary = Hungarian; Romania = Romanian; Bulgaria = Bulgarian; Greece = Greek;
        Turkey = Turkish; Russia = Russian; Croatia = Croatian; Egypt = Arabic; Jordan = Arabic; Japan = Japanese;
        Thailand = Thai; Vietnam = Vietnamese; Australia = English; New Zealand = English;""",
    ),
    Relation(
        "currencies",
        (
            "What is the currency of {x}?",
            "Which money is used in {x}?",
            "Shops in {x} are paid in which currency?",
            "Name the currency used in {x}.",
            "A bank in {x} keeps accounts in which currency?",
            "Which currency do you need for a trip to {x}?",
        ),
        ("The currency of {x} is the {y}.", "In {x} people pay with the {y}."),
        """France = euro; Ireland = euro; Finland = euro; Greece = euro; Denmark = krone; Norway = krone;
        Sweden = krona; Iceland = krona; Poland = zloty; Hungary = forint; Romania = leu; Serbia = dinar;
        Jordan = dinar; Tunisia = dinar; Iraq = dinar; Turkey = lira; Russia = rouble; Ukraine = hryvnia;
        Egypt = pound; Lebanon = pound; Morocco = dirham; Kenya = shilling; Uganda = shilling; Ghana = cedi;
        Nigeria = naira; Ethiopia = birr; Japan = yen; China = yuan; India = rupee; Pakistan = rupee; Nepal = rupee;
        Thailand = baht; Vietnam = dong; Canada = dollar; Australia = dollar; Mexico = peso; Chile = peso;
        Argentina = peso; Peru = sol; Brazil = real;""",
    ),
    Relation(
        "animals",
        (
            "What kind of animal is the {x}?",
            "To which group of animals does the {x} belong?",
            "In a zoology book, the {x} is listed under which group?",
            "The {x} is an animal of which group?",
            "How would a biologist class the {x}?",
            "Name the animal group of the {x}.",
        ),
        ("The {x} is a kind of {y}.", "Among animals the {x} is in the group {y}."),
        """dolphin = mammal; bat = mammal; whale = mammal; otter = mammal; beaver = mammal; hedgehog = mammal;
        elephant = mammal; walrus = mammal; eagle = bird; ostrich = bird; penguin = bird; heron = bird;
        sparrow = bird; pelican = bird; owl = bird; stork = bird; crocodile = reptile; tortoise = reptile;
        gecko = reptile; cobra = reptile; iguana = reptile; python = reptile; frog = amphibian; toad = amphibian;
        newt = amphibian; salamander = amphibian; salmon = fish; tuna = fish; shark = fish; herring = fish;
        eel = fish; trout = fish; bee = insect; ant = insect; beetle = insect; moth = insect; wasp = insect;
        cricket = insect; crab = crustacean; lobster = crustacean; shrimp = crustacean; spider = arachnid;
        scorpion = arachnid; tick = arachnid;""",
    ),
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
        "arithmetic",
        (
            "What is {x}?",
            "How much is {x}?",
            "Work out {x}.",
            "What do you get for {x}?",
            "The result of {x} is what?",
            "Which number equals {x}?",
        ),
        ("{x} is {y}.", "The result of {x} is {y}."),
        _arithmetic("plus"),
        numeric=True,
    ),
    Relation(
        "arithmetic",
        (
            "What is {x}?",
            "How much is {x}?",
            "Work out {x}.",
            "What do you get for {x}?",
            "The result of {x} is what?",
            "Which number equals {x}?",
        ),
        ("{x} is {y}.", "The result of {x} is {y}."),
        _arithmetic("times"),
        numeric=True,
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
