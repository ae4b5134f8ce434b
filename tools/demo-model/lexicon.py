"""The words of the demo corpus, by category.

One entry a line.  Forms that cannot be derived from the word itself follow it,
separated by "/"; WORDS at the end says what each column means.
"""

GIRLS = """Anna Lily Mia Emma Lucy Sara Ella Zoe Ruby Nora Rose Daisy Molly Amy Kate Jane Grace Ivy Bella Sophie
Alice Clara Eva Lena May Hannah Julia Maria Olivia Polly Rita Tina Wendy Elif Zeynep Ada Ayla Mary Susan Nina""".split()

BOYS = """Tom Tim Ben Max Sam Jack Leo Finn Luke Adam Peter Oscar Noah Henry George Charlie Billy Danny Eddie Felix
Fred Harry Hugo Ivan James Joe Kevin Liam Mark Nick Oliver Paul Robin Simon Theo Victor Ali Can Emre Deniz""".split()

PETS = """Pip Coco Spot Buddy Fluffy Biscuit Pepper Ginger Nibbles Sunny Hazel Milo Bobo Tiny Whiskers Snowy
Bubbles Patch Rusty Dot Honey Mango Olive Peanut Pickle Poppy Socks Teddy Toto Willow Ziggy""".split()

PEOPLE = """girl/she boy/he girl/she boy/he girl/she boy/he princess/she prince/he farmer/he farmer/she baker/he
baker/she king/he queen/she fisherman/he painter/she sailor/he woman/she man/he teacher/she gardener/he
doctor/she shepherd/he singer/she builder/he knight/he"""

ANIMALS = """
cat/meow/milk/on the sofa/soft fur and long whiskers
dog/woof/bones/in the yard/four legs and a happy tail
rabbit/squeak/carrots/under the ground/long ears and a round tail
fox/yip/berries/in the forest/red fur and a thick tail
bear/roar/honey/in a cave/brown fur and strong arms
mouse/squeak/cheese/in a hole/tiny ears and a long tail
duck/quack/bread/on the pond/a flat beak and orange feet
frog/croak/flies/by the pond/green skin and long legs
owl/hoot/mice/in an old tree/big round eyes
horse/neigh/apples/on the farm/strong legs and a long neck
cow/moo/grass/in the field/a big nose and a long tail
sheep/baa/grass/on the hill/white wool
goat/baa/leaves/on the mountain/two horns and a short beard
pig/oink/corn/on the farm/a round nose and a curly tail
hen/cluck/seeds/in the yard/brown feathers
lion/roar/meat/in the tall grass/golden hair and sharp teeth
tiger/roar/meat/in the jungle/orange fur and black stripes
elephant/toot/leaves/in the warm lands/a long nose and big ears
monkey/chatter/bananas/in the jungle/long arms and a clever face
turtle/hello/leaves/near the sea/a hard shell
bird/chirp/seeds/in a nest/small wings
squirrel/chatter/nuts/in an oak tree/a thick soft tail
hedgehog/snuffle/bugs/under the leaves/many sharp spines
deer/hello/grass/in the forest/long thin legs
wolf/howl/meat/in the dark forest/grey fur and bright eyes
penguin/honk/fish/on the ice/black and white feathers
donkey/hee-haw/hay/on the farm/long ears and grey fur
bee/buzz/honey/in a hive/yellow and black stripes
crow/caw/corn/in a tall tree/black feathers
parrot/hello/fruit/in the jungle/green and red feathers
whale/whoosh/tiny fish/in the sea/a huge tail
kitten/mew/milk/in a basket/tiny paws
puppy/yip/biscuits/in a warm bed/soft ears and big paws
snail/hello/leaves/in the garden/a round shell
butterfly/hello/flowers/in the garden/bright wings
dragon/roar/hot soup/in a cave/green wings and a long tail
"""

PLACES = """
garden/in the garden
forest/in the forest
park/in the park
beach/on the beach
farm/on the farm
village/in the village
market/at the market
school/at school
river/by the river
lake/by the lake
hill/on the hill
mountain/on the mountain
castle/in the castle
library/in the library
meadow/in the meadow
cave/in the cave
barn/in the barn
town/in the town
old bridge/near the old bridge
big oak tree/under the big oak tree
pond/by the pond
field/in the field
sea/by the sea
shop/in the shop
playground/on the playground
train station/at the train station
harbour/at the harbour
windmill/near the windmill
island/on the island
tower/in the tower
orchard/in the orchard
zoo/at the zoo
museum/in the museum
little house/in the little house
bakery/in the bakery
valley/in the valley
waterfall/near the waterfall
city/in the city
"""

# Things to own, lose and find.  The adjectives of the second column are
# the ones that suit the thing.
TOYS = """
ball/red blue yellow round bouncy
kite/red green long bright paper
book/old thick blue new big
hat/red warm straw funny green
drum/loud little red wooden
doll/pretty small rag old
boat/wooden white toy little
lamp/golden bright old small
key/silver tiny golden rusty
shell/pink shiny white pretty
stone/smooth shiny blue round
box/wooden small secret red
basket/big brown round straw
bell/silver little golden shiny
coin/gold old shiny silver
scarf/warm long woollen striped
umbrella/yellow big red purple
ring/gold shiny lovely tiny
flute/wooden silver little old
pencil/new yellow long red
car/toy fast red blue
train/toy wooden green little
teddy bear/soft brown old big
blanket/soft warm blue green
cup/white little blue pretty
map/old big secret strange
feather/white long blue soft
button/shiny round red tiny
puzzle/hard new big wooden
necklace/lovely silver green pretty
mirror/round clear golden old
clock/old tall wooden loud
cart/small wooden green strong
ladder/tall strong wooden old
rope/long thick strong brown
bucket/blue metal old big
spoon/wooden silver big old
picture/pretty big colourful small
pillow/soft white big warm
violin/brown fine old little
balloon/red big yellow shiny
robot/toy silver small clever
flower/pretty yellow purple white
letter/long kind short secret
mitten/red warm woollen small
boot/muddy brown big old
bicycle/green fast new old
telescope/long brass old new
"""

FOODS = """
bread/some bread/it
cake/a cake/it
soup/a bowl of soup/it
apples/some apples/them
honey/a pot of honey/it
cookies/a plate of cookies/them
pie/an apple pie/it
cheese/a piece of cheese/it
berries/a basket of berries/them
pancakes/some pancakes/them
milk/a glass of milk/it
pears/two pears/them
nuts/a bag of nuts/them
rice/a bowl of rice/it
carrots/some carrots/them
eggs/three eggs/them
oranges/some oranges/them
jam/a jar of jam/it
tea/a cup of tea/it
sandwich/a sandwich/it
plums/a few plums/them
porridge/a bowl of porridge/it
chocolate/a bar of chocolate/it
cherries/a handful of cherries/them
"""

FEELINGS = """happy/smiled sad/cried angry/frowned tired/yawned scared/trembled excited/jumped proud/smiled
lonely/sighed surprised/gasped worried/frowned bored/sighed hungry/sighed cheerful/laughed calm/smiled
nervous/trembled glad/laughed curious/wondered sleepy/yawned grateful/smiled"""

TRAITS = """kind brave clever curious gentle shy cheerful quiet honest careful lazy silly friendly patient proud
greedy hungry polite helpful strong wise playful stubborn happy lonely""".split()

COLOURS = "red blue green yellow white black brown purple orange pink golden silver grey".split()

SIZES = "big small little tiny huge tall short round long thin".split()

RELATIVES = """mother/she father/he grandmother/she grandfather/he sister/she brother/he aunt/she uncle/he mum/she
dad/he cousin/he"""

# Base, past, -ing.
SKILLS = """
swim/swam/swimming
sing/sang/singing
dance/danced/dancing
read/read/reading
write/wrote/writing
draw/drew/drawing
paint/painted/painting
cook/cooked/cooking
climb/climbed/climbing
skate/skated/skating
ride a bicycle/rode a bicycle/riding a bicycle
jump high/jumped high/jumping high
run fast/ran fast/running fast
catch a ball/caught a ball/catching a ball
play the flute/played the flute/playing the flute
play the drum/played the drum/playing the drum
bake bread/baked bread/baking bread
whistle/whistled/whistling
build a boat/built a boat/building a boat
tell a story/told a story/telling a story
count to a hundred/counted to a hundred/counting to a hundred
"""

GAMES = """
played hide and seek/play hide and seek
played with the ball/play with the ball
ran around/run around
sang songs/sing songs
told stories/tell stories
danced/dance
built a tower/build a tower
flew a kite/fly a kite
climbed a tree/climb a tree
picked flowers/pick flowers
looked at the clouds/look at the clouds
drew pictures/draw pictures
splashed in the water/splash in the water
had a picnic/have a picnic
chased butterflies/chase butterflies
counted the stars/count the stars
read a book/read a book
made a sand castle/make a sand castle
jumped over puddles/jump over puddles
looked for shells/look for shells
"""

JOBS = """
baker/bakes bread and cakes/in a bakery
farmer/grows food and feeds the animals/on a farm
teacher/helps children to learn/at a school
doctor/helps sick people/in a hospital
fisherman/catches fish/on a boat
painter/paints pictures/in a small room
builder/builds houses/in the city
gardener/plants flowers and trees/in a garden
singer/sings songs/on a stage
cook/makes good food/in a kitchen
pilot/flies a plane/in the sky
sailor/sails a ship/on the sea
shepherd/looks after the sheep/on a hill
driver/drives a bus/in the town
tailor/makes clothes/in a little shop
postman/brings letters/in the village
nurse/looks after people/in a hospital
carpenter/makes tables and chairs/in a workshop
"""

# What it is, and one thing that is true of it.
THINGS = """
the sun/a big bright star/it gives us light and keeps us warm
the moon/a round light in the night sky/it shines when the sun is gone
rain/water that falls from the clouds/it makes the plants grow
snow/soft white ice that falls from the sky/it covers the ground in winter
a river/a long line of water/it runs down to the sea
a forest/a place with many trees/many animals live there
a book/many pages with words and pictures/you can read it in bed
a house/a place where people live/it has a roof, a door and some windows
a tree/a tall plant/it has leaves and strong roots
a flower/a pretty plant/it smells sweet in the spring
a friend/someone who likes you and helps you/you can tell a friend everything
a boat/a thing that moves on the water/it can carry people and boxes
a star/a little light far away in the sky/you can see it at night
the sea/a very big place full of salt water/fish and whales live in it
a school/a place where children learn/it has rooms, books and teachers
a garden/a place where flowers and vegetables grow/it needs sun and water
a mountain/a very high hill/there is often snow on the top
a cloud/a lot of tiny drops of water in the sky/it can be white or grey
the wind/air that moves/it can carry leaves and kites
a clock/a thing that shows the time/it says tick, tock
a story/a thing that someone tells you/it has a beginning, a middle and an end
music/a nice sound that people make/it can make you want to dance
a home/the place where you feel safe/someone waits for you there
a bridge/a road over the water/people and carts can walk over it
a computer/a machine that works with numbers and words/it can help people to write
a question/something that you ask/a good question has a good answer
love/a warm feeling/it grows when you share it
winter/the coldest part of the year/the days are short and the nights are long
summer/the warmest part of the year/the days are long and sunny
a dream/a story that you see when you sleep/it is gone in the morning
"""

# Two things that happen, each in the past and in the present, and how the days are.
SEASONS = """
spring/the flowers opened/the flowers open/the birds built their nests/the birds build their nests/warm and fresh
summer/the sun was hot/the sun is hot/the children swam in the lake/the children swim in the lake/long and sunny
autumn/the leaves turned red/the leaves turn red/the wind blew them away/the wind blows them away/cool and windy
winter/the snow covered everything/the snow covers everything/the lake turned to ice/the lake turns to ice/short and cold
"""

SYLLABLES = """ba be bi bo bu da de di do du fa fi ga go ha ja ka ki ko la le li lo lu ma me mi mo mu na ne ni no nu
pa pe pi po ra re ri ro ru sa se si so ta te ti to va ve vi wa wo ya za ze zi zo bra dri fle gra klo plu sti tra
sha cho thi""".split()


def _lines(text: str) -> list[list[str]]:
    return [line.split("/") for line in text.strip().splitlines()]


def _items(text: str) -> list[list[str]]:
    return [item.split("/") for item in text.split()]


def _plain(words: list[str]) -> list[dict[str, str]]:
    return [{"text": word} for word in words]


def plural(noun: str) -> str:
    irregular = {"mouse": "mice", "sheep": "sheep", "deer": "deer", "wolf": "wolves", "man": "men", "woman": "women"}
    if noun in irregular:
        return irregular[noun]
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


WORDS: dict[str, list[dict[str, str]]] = {
    "animal": [
        {"text": n, "says": s, "eats": e, "lives": l, "has": h, "many": plural(n)} for n, s, e, l, h in _lines(ANIMALS)
    ],
    "place": [{"text": "the " + n, "in": i, "noun": n} for n, i in _lines(PLACES)],
    "toy": [
        {"text": n, "a": f"a {a} {n}", "the": f"the {a} {n}", "adj": a, "many": plural(n)}
        for n, adjectives in _lines(TOYS)
        for a in adjectives.split()
    ],
    "food": [
        {"text": n, "some": s, "it": i, "was": "was" if i == "it" else "were", "is": "is" if i == "it" else "are"}
        for n, s, i in _lines(FOODS)
    ],
    "feeling": [{"text": f, "did": d} for f, d in _items(FEELINGS)],
    "trait": _plain(TRAITS),
    "colour": _plain(COLOURS),
    "size": _plain(SIZES),
    "skill": [{"text": b, "past": p, "ing": i} for b, p, i in _lines(SKILLS)],
    "game": [{"text": p, "base": b} for p, b in _lines(GAMES)],
    "job": [{"text": n, "does": d, "where": w} for n, d, w in _lines(JOBS)],
    "thing": [{"text": n, "is": i, "fact": f} for n, i, f in _lines(THINGS)],
    "season": [
        {"text": n, "sign": s, "sign_now": sn, "event": e, "event_now": en, "days": d}
        for n, s, sn, e, en, d in _lines(SEASONS)
    ],
    "ruler": _plain(["king", "queen"]),
}
