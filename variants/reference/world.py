"""General knowledge of the world that the reference model learns: true facts, and the ways to ask for them."""

from __future__ import annotations

from variants.reference.relation import Relation

WORLD: tuple[Relation, ...] = (
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
)
