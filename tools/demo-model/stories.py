"""The sentences of the demo corpus: rules, plots and short texts.

The notation is described in grammar.py.  The cast of a text has these slots:

    {h} the hero's name or description       {f} the friend's
    {s} the hero as a subject: name or he    {fs} the friend's
    {he} {him} {his} {himself}               {fhe} {fhim} {fhis}
    {intro} "a little girl named Anna"       {fintro}
    {m} a relative of the hero               {mhe} {mhim} {mhis}

A plot is a list of stages, one a line.  "?" opens a stage that may be left out,
and "+" one that may open a new paragraph.
"""

RULES: dict[str, list[str]] = {
    # Openings that say who there is, and may be followed by "one day".
    "once": [
        "once upon a time, there was {intro}.",
        "once upon a time, there was {intro}.",
        "once upon a time, there was {intro} who lived near {place}.",
        "once upon a time, {intro} lived {place.in}.",
        "once upon a time, in a {land}, there lived {intro}.",
        "once upon a time, there lived {intro}.",
        "once there was {intro}.",
        "there was {intro}.",
        "there was once {intro}.",
        "in a {land}, there lived {intro}.",
        "in a {land}, there was {intro}.",
        "a long time ago, {intro} lived near {place}.",
        "long ago, in a {land}, there was {intro}.",
        "{name} was [a|a very|a really] {trait} {kind}.",
        "{name} was {kind.a} who lived near {place}.",
        "the {kind} lived in a {house} near {place}. {his} name was {name}.",
        "this is the story of {intro}.",
        "far away, behind the [hills|mountains|trees|sea], lived {intro}.",
        "{intro} lived near {place}.",
    ],
    # Openings that are the scene already.
    "scene": [
        "one day, {intro} went to {place}.",
        "one day {intro} was {place.in}.",
        "one day a {kind} named {name} was {place.in}.",
        "one day a little {kind} named {name} went to {place}.",
        "one [sunny|rainy|cold|warm|windy|quiet|bright|foggy] [morning|day|afternoon], {intro} was {place.in}.",
        "it was a [cold|warm|dark|lovely|quiet|strange|busy] [morning|night|day|evening]. {intro} was {place.in}.",
        "last [summer|winter|week|spring|year], {intro} went to {place}.",
        "every [day|morning|evening], {intro} went to {place}.",
        "the {kind} was {place.in}. {his} name was {name}.",
    ],
    "opening": ["{once}", "{once}", "{once}", "{scene}", "{scene}"],
    "land": [
        "[small|little|quiet|far away|pretty|green|busy|cold|warm] [village|town|valley|land|city]",
        "[small|quiet] village near {place}",
        "[little|old|small] house [near the sea|in the woods|on a hill|by the river]",
        "[big|dark|deep|green] forest",
    ],
    "house": ["[small|little|big|old|tall|cosy|white|red|tiny] [house|cottage|home]", "house with a {colour} [door|roof]"],
    "about": [
        "{s} was [very|always|so] {trait}.",
        "{s} was {trait} and {trait2}.",
        "{s} [loved|liked] to {game.base}.",
        "{s} liked to {game.base} and to {game2.base}.",
        "{s} had {toy.a}, and {he} took it everywhere.",
        "everyone in the [village|town|forest] [knew|loved|liked] {him}.",
        "{s} lived with {m} in a {house}.",
        "{s} lived in a {house}.",
        "{his} favourite food was {food}.",
        "{s} had many friends, but {his} best friend was {pal}.",
        "{s} was small, but {he} had a big heart.",
        "{s} always wore {clothes}.",
    ],
    "clothes": ["a {colour} [hat|coat|scarf|shirt]", "{colour} [shoes|boots|socks]"],
    "weather": [
        "the sun was [shining|bright|warm|high in the sky].",
        "the sky was [blue|grey|clear|full of clouds].",
        "it was [raining|snowing|very windy|warm and sunny|cold and dark].",
        "the wind [blew|sang] in the trees.",
        "the birds were singing.",
        "the air smelled of [flowers|rain|grass|bread|the sea].",
        "small clouds [moved|floated] across the sky.",
        "the grass was wet and green.",
        "there was [fog|snow|ice] everywhere.",
        "the leaves danced in the wind.",
        "the rain fell softly on the roof.",
        "it was a [lovely|perfect|quiet|hot] day.",
    ],
    "sad": [
        "{s} felt [very|so|a little] sad.",
        "{s} began to cry.",
        "{s} sat down and [cried|sighed|looked at the ground].",
        "a tear ran down {his} [cheek|face].",
        "{s} did not know what to do.",
        "{his} heart was heavy.",
        "{s} wanted to go home.",
        "{s} was so sad that {he} could not [eat|sleep|speak].",
    ],
    "happy": [
        "{s} was [very|so] happy.",
        "{s} smiled [a big smile|from ear to ear|and clapped {his} hands].",
        "{s} laughed and jumped up and down.",
        "{s} felt [warm|happy|light|proud] inside.",
        "{s} could not stop smiling.",
        "{s} was so glad that {he} began to [sing|dance|laugh].",
        "{his} eyes were bright with joy.",
    ],
    "thanks": [
        "\"thank you[| so much| very much]!\" said {h}.",
        "\"thank you for your help,\" said {h}.",
        "{s} thanked {f} again and again.",
        "{s} gave {f} a big hug.",
        "\"you are [a true friend|very kind|so good to me|the best]!\" said {h}.",
        "\"how can I thank you?\" asked {h}. \"[just be my friend|you do not have to|a smile is enough],\" said {f}.",
    ],
    "ending": [
        "from that day on, {h} and {f} were best friends.",
        "{h} and {f} laughed all the way home.",
        "after that, {h} and {f} met {place.in} every [day|week|Sunday|morning].",
        "everybody was happy, and there {food.was} {food} for all.",
        "then {h} and {f} went home together.",
        "{f} waved, and {h} waved back.",
        "{ending_alone}",
        "{ending_alone}",
    ],
    "ending_alone": [
        "and they lived happily ever after.",
        "and {h} was never [lonely|sad|afraid] again.",
        "that night, {h} slept [very well|like a stone|with a smile on {his} face].",
        "then {h} went home.",
        "it was the best day of {his} life.",
        "{h} never forgot that day.",
        "when {he} came home, {h} told {m} everything.",
        "the sun went down, and {h} went home with a happy heart.",
        "and that was the end of a very good day.",
        "the end.",
    ],
    "moral_share": [
        "{h} learned that it is good to share.",
        "now {h} knew that things taste better when you share them.",
        "\"always share what you have,\" said {m}, and {h} never forgot it.",
    ],
    "moral_friend": [
        "{h} learned that [friends help each other|small friends can be a big help|kind words cost nothing].",
        "now {h} knew that [a good friend is better than gold|everyone needs help sometimes].",
        "\"help your friends, and they will help you,\" said {m}.",
        "{h} knew that {he} had a true friend.",
    ],
    "moral_brave": [
        "{h} learned that being brave does not mean being big.",
        "now {h} knew that [a noise is only a noise|most things are not so bad when you look at them].",
        "{m} was proud of {him}. \"you were very brave,\" {mhe} said.",
    ],
    "moral_try": [
        "{h} learned that we must not give up.",
        "{m} was proud of {him}.",
        "\"[never give up|step by step, you can do anything],\" said {m}, and {h} never forgot it.",
    ],
    "moral_truth": [
        "{h} learned that it is good to tell the truth.",
        "\"always tell the truth,\" said {m}, and {h} never forgot it.",
        "after that, {h} was more careful.",
    ],
    "moral_wise": [
        "{h} learned something [new|important] that day.",
        "now {h} knew that [sweet words are not always true|it is good to think first].",
        "{m} laughed and said, \"next time, you will know better.\"",
    ],
    "moral_sorry": [
        "now {h} knew that it is never too late to say sorry.",
        "they learned that a friend is worth more than any {toy}.",
    ],
    "moral_home": [
        "{h} learned that home is the best place of all.",
        "after that, {h} always stayed on the path.",
    ],
    "walk": [
        "{s} walked [slowly|quickly|quietly|happily|for a long time|all day] to {place2}.",
        "{s} ran to {place2} as fast as {he} could.",
        "{s} went along the [road|path|river] until {he} came to {place2}.",
        "{s} walked and walked.",
        "{s} crossed [the bridge|the field|the road|the stream] and came to {place2}.",
        "{s} put on {clothes} and went to {place2}.",
        "on the way to {place2}, {he} saw [many flowers|a rainbow|a small bird|an old cart|some ducks|a black cat].",
    ],
    "meet": [
        "there {he} met {fintro}.",
        "soon {he} met {fintro}.",
        "suddenly, {fintro} came out from behind [a tree|a rock|the wall|the door|a bush].",
        "under a tree sat {fintro}.",
        "then {h} heard a [small|quiet|kind|soft|strange] voice. It was {fintro}.",
        "there {he} saw {fintro}.",
        "after some time, {fintro} came by.",
    ],
    "greet": [
        "\"hello,\" said {h}. \"[what is your name|who are you|do you live here|how are you]?\" \"[I am|my name is] {fname},\" said {f}.",
        "\"hello!\" said {f}. \"[why are you here|what are you doing|where are you going|can I help you]?\"",
        "\"good [morning|day|evening],\" said {f}. \"what a {weather_adj} day!\"",
        "\"[hi|hello], my name is {fname},\" said {f}. \"and I am {name},\" said {h}.",
        "\"who is there?\" asked {f}. \"it is only me, {name},\" said {h}.",
    ],
    "weather_adj": ["[fine|lovely|cold|warm|rainy|windy|strange|beautiful]"],
    "offer_help": [
        "\"do not [cry|worry|be sad],\" said {f}. \"I [will|can] help you.\"",
        "\"let me help you,\" said {f}.",
        "\"can you help me, please?\" asked {h}. \"[of course|yes, I can|yes, gladly|I will try],\" said {f}.",
        "\"what is wrong?\" asked {f}. {s} told {fhim} everything. \"[we can do it together|I have an idea|that is easy|let us try],\" said {fhe}.",
        "{f} wanted to help {him}.",
        "{f} thought for a [moment|while]. \"I have an idea!\" {fhe} said.",
    ],
    "play": [
        "they {game} until [the sun went down|it was dark|they were tired|dinner|it was time to go home].",
        "first they {game}, and then they {game2}.",
        "they {game} all [day|morning|afternoon] long.",
        "{h} and {f} {game}.",
        "they laughed and {game}.",
    ],
    "sounds": [
        "\"{animal.says}!\" said the {animal}.",
        "somewhere {animal.lives}, {animal.a} was sleeping.",
        "the {animal} looked at {him} and went away.",
    ],
    "later": ["[after a while|later|a little later|soon|in the evening|after lunch|the next day|the next morning],"],
    "soon": ["[after a while|a little later|soon|at last|after an hour],"],
    "suddenly": ["[suddenly|just then|all at once|at that moment],"],
    "place_look": [
        "[under the bed|behind the door|in the box|on the table|under a leaf|behind a tree|in the tall grass|under the chair|in the old boat|on the roof|in the basket|in the kitchen|behind the big rock]"
    ],
    "is_weather": [
        "the sun is [shining|warm|bright].", "it is [raining|snowing|cold|warm|windy].", "the sky is [blue|grey|clear].",
        "the birds are singing.", "there are [some|many|no] clouds in the sky.", "the wind is [strong|soft|cold].",
    ],
    "was_weather": ["{weather}"],
    "animal_more": [
        "it says \"{animal.says}\".", "it is a friend of the {animal2}.", "everyone likes it.", "at night it sleeps {animal.lives}.",
        "sometimes it is [very loud|afraid|lazy|funny].", "when it is happy, it [jumps|runs|sings|rolls on the ground].",
        "it has [one|two|three|four|five] little ones.", "do not wake it up!", "it does not like the {season}.",
    ],
    "animal_end": [
        "then it went home and slept.", "and that was a good day.", "the {animal} was happy.", "\"{animal.says},\" said the {animal}.",
        "at night, the moon shone, and everything was quiet.", "after that, nobody was hungry.", "the next day, it came back.",
    ],
    "present_more": [
        "{he_cap} is happy.", "{he_cap} wants to learn to {skill}.", "in the evening, {he} likes to eat {food}.", "{fname} is {his} friend.",
        "every day {he} goes to {place2}.", "{he_cap} is not afraid of {animal.many}.", "when {he} is big, {he} wants to be a {job}.",
        "{he_cap} has {animal.a}, too.",
    ],
    "i_more": [
        "I like {food}, but I do not like {food2}.", "my best friend is {fname}.", "I have {toy.a}.", "I want to learn to {skill}.",
        "when I am big, I want to be a {job}.", "yesterday, I saw {animal.a} {place.in}.", "I am not afraid of {animal.many}.",
        "my {animal} is very {trait}.", "it was a lot of fun.", "on Sundays, we go to {place}.", "my favourite colour is {colour}.",
        "my grandmother tells me stories.", "I am very happy here.",
    ],
    "thanks_f": [
        "\"thank you, {name},\" said {f}. \"you are [very kind|a good friend|so good to me].\"", "{f} smiled. \"thank you!\" {fhe} said.",
        "{f} was so happy that {fhe} hugged {h}.", "\"I will never forget this,\" said {f}.",
    ],
    "yes": ["[yes, I would love to|yes, please|oh yes|of course|yes, let us play]"],
    "dream": ["", "", "{s} dreamed of {animal.many} and {food}.", "it had been a [good|long|happy] day.", "{ending_alone}"],
    "suddenly_plain": ["[suddenly|soon|all at once]"],
    "join_ask": ["\"may I come with you?\" asked {f}. \"[yes, please|yes, let us go together]!\" said {h}."],
    "join_offer": ["\"where are you going?\" asked {f}. \"to {place2},\" said {h}. \"come with me!\""],
    "join_show": ["\"what do you have there?\" asked {f}. {h} showed {fhim} everything. \"[let us go together|we can look for it together],\" said {f}."],
    "once_king": [
        "once upon a time, in a {land}, there was a big castle.", "long ago, there was a castle on a hill.",
        "there was a castle near {place}, and everyone in it was sad.",
    ],
    "they_asked": ["they [all|] asked", "the people asked"],
    "the_prize": ["the {toy}", "the {toy.adj} {toy}", "the {toy} and {food.some}"],
    "play_school": ["at noon, they {game}.", "in the break, they {game}.", "they ate {food} together and talked about {animal.many}."],
    "the_toy": ["the {toy}", "{his} {toy}", "the {toy.adj} {toy}"],
    "his_ball": ["{his} ball", "a ball", "{f}"],
}

PLOTS: dict[str, str] = {
    "lost thing": """
{once}
?{about}
{s} had {toy.a}. [{s} loved it very much.|It was a gift from {m}.|{s} took it everywhere.|It was {his} favourite thing.]
+[one day|one morning|then one day], {the_toy} was gone. [{s} looked {place_look}, but it was not there.|{s} could not find it anywhere.]
?{s} looked {place_look} and {place_look}, but there was no {toy}.
{sad}
+{meet} {greet}
"[I lost|I cannot find] my {toy}," said {h}. "it is {toy.adj}, and I [love it|miss it|need it]."
{offer_help}
they looked {place_look}. [then they looked {place_look}.|it was not there.|they found only [an old shoe|a stone|some leaves|a spoon].]
+{suddenly} {f} [shouted|called|cried], "[look|here it is|I see it|come here]!" {the_toy} was {place_look}.
{happy}
{thanks}
?{moral_friend}
{ending}
""",
    "new friend": """
{once}
?{s} was {trait} and {trait2}.
{s} had no [friends|one to play with], and {he} was often lonely.
?{weather}
+[one day|one morning], {h} went to {place2}. {meet}
{greet}
"[do you want to play with me|will you play with me|can we play together]?" asked [{h}. "{yes}!" said {f}.|{f}. "{yes}!" said {h}.]
{play}
?{f} showed {him} {fhis} {toy}. It was {toy.adj} and very [nice|fine|pretty]. "you can [hold|use|have] it," {fhe} said.
?they ate {food} together.
+{happy}
?"[will you come again tomorrow|can we meet tomorrow]?" asked {f}. "yes, I will," said {h}.
{ending}
""",
    "sharing": """
{opening}
?{about}
{m} gave {him} {food.some}. the {food} [looked very good|smelled so good|{food.was} still warm].
{s} [wanted to eat {food.it} all alone|was very hungry|could not wait to eat {food.it}].
+{walk} {meet}
{f} looked at the {food}. "[I am so hungry|I have not eaten all day|that smells good]," said {f}. "[can I have a little|may I have some|will you share {food.it} with me], please?"
{h} [thought about it|looked at the {food}|was quiet for a moment]. [{s} did not want to share.|there was not much, but {f} looked so hungry.|"[it is all mine|no, go away]!" said {h}. But then {he} saw that {f} was [sad|crying].]
+then {he} [broke {food.it} in two|gave half to {f}|gave {fhim} all of {food.it}].
they sat down {place2.in} and ate together. The {food} {food.was} [very good|sweet and warm|the best {he} had ever eaten].
{thanks_f}
?{later} {f} gave {h} {toy.a}. "this is for you," {fhe} said.
{happy}
?{moral_share}
{ending}
""",
    "fear": """
{once}
{s} was afraid of [the dark|big dogs|storms|deep water|high places|strange noises|spiders].
?{m} said, "[there is nothing to fear|you are brave|everyone is afraid of something]," but {h} was still afraid.
+[one night|one dark evening|one stormy night|late one day], {h} was {place2.in}. {suddenly} {he} heard a [loud|strange|soft|terrible] [noise|sound]. [crash|bang|boom|tap, tap, tap]!
{h} [trembled|could not move|hid behind a chair|closed {his} eyes|wanted to run away].
?"who is there?" {he} [asked|whispered]. [nobody answered.|the noise came again.]
+{h} took a deep breath and [opened the door|looked out|took a lamp|went nearer]. {suddenly} {he} saw {fintro}.
"[please help me|do not be afraid|I am so cold|I am lost]," said {f}. [{fs} was only [looking for {fhis} {toy}|cold and wet|small and afraid too].|It was {f} who had made the noise.]
{h} [laughed|was not afraid any more|felt much better]. "[come in|sit by the fire|I was afraid of you|so it was only you]," {he} said.
{h} gave {f} {food.some}, and they talked [all night|for hours|until morning].
?{moral_brave}
{ending}
""",
    "hurt animal": """
{once}
?{about}
+one day, {h} found {animal.a} {place2.in}. It [could not walk|was hurt|lay on the ground|had a thorn in its foot|was very weak]. "{animal.says}," it said [quietly|softly].
"[oh no|you poor thing|poor {animal}]!" said {h}. "[I will help you|do not be afraid|I will take you home]."
{s} [carried it home in {his} arms|put it in a basket|took it home]. {m} [made a warm bed for it|brought some water|washed its foot|gave it some {food}].
?every day, {h} gave it food and water and [sang to it|talked to it|told it stories].
+[after a week|after some days|soon], the {animal} was [well|strong] again. It [jumped|ran around|danced] and said, "{animal.says}!"
[{s} knew that it had to go home.|then {h} took it back to {place2}.|"you can go home now," said {h}.]
?the {animal} looked back one more time, as if to say thank you.
?{sad} But {he} knew that it was right.
{later} {h} [heard|saw] something at the window. It was the {animal}! It had brought {him} {toy.a}.
{happy}
{ending_alone}
""",
    "skill": """
{once}
{s} wanted to {skill}, but {he} [did not know how|could not do it|had never done it before].
?{m} could {skill} very well. {h} watched and wished to do the same.
+"I will learn to {skill}," said {h}. {s} tried, but [it was too hard|it did not work|{he} was too slow|everyone laughed].
{sad}
"[do not give up|try again|nobody can do it the first time|it takes time]," said {m}. "[I will show you|you can do it|first slowly, then fast]."
?so {h} tried again. It was a little better.
{h} practised [every day|every morning before school|for many weeks|again and again]. [sometimes it was hard.|some days were good, and some were bad.]
+then one day, {he} {skill.past} [without any help|better than ever|in front of everyone]! "look, I am {skill.ing}!" {he} [shouted|cried|called].
{m} [clapped {mhis} hands|smiled|was very proud].
{happy}
?now {h} helps others who want to {skill}.
?{moral_try}
{ending_alone}
""",
    "cooking": """
{opening}
?{about}
it was {m_poss} birthday, and {h} wanted to make [something special|{food.some}|a surprise] for {mhim}.
"I need [flour|sugar|milk|butter|eggs] and [salt|honey|apples|nuts|cream]," said {h}. [But the kitchen was empty.|But there was no more at home.]
+{walk} {meet}
"[do you have some sugar|can you give me some milk|have you any eggs]?" asked {h}. "[yes, take this|yes, if you help me|yes, look in my basket]," said {f}.
?so {h} [carried the wood|swept the floor|washed the cups|fed the {animal.many}] for {f}. It was hard work.
+then {h} ran home and began to cook. [{s} mixed everything in a big bowl.|the fire was hot, and the pot was big.|{s} worked very carefully.|there was flour everywhere.]
?oh no! It [fell on the floor|was too salty|was a little burnt]. But {h} did not give up. {s} started again.
{soon} the {food} {food.was} ready. Everything smelled [wonderful|so good|sweet].
"[happy birthday|this is for you|surprise]!" said {h}. {m} [smiled|laughed|had tears of joy in {mhis} eyes|tasted the {food}]. "[this is the best gift|how good this is|thank you, my dear]," {mhe} said.
{happy}
{ending}
""",
    "treasure": """
{once}
one day, {h} found [an old map|a strange letter|an old book] {place.in}. It showed the way to [a treasure|a secret place|{place2}].
"[I must find it|this is a real adventure|I want to go there]," said {h}. {s} [packed|took] {food.some} and {toy.a}.
?{weather}
+{meet} [{join_ask}|{join_offer}|{join_show}]
they [walked|went] [over the hills|through the forest|along the river|past the old windmill] for [three days|many hours|a long time]. [at night they slept under a tree.|they sang songs on the way.|it was a hard way.]
{suddenly} [a big {animal} stood in front of them|they came to a wide river|it became very dark|the path ended]. "[what now?|I am afraid.|how can we go on?]" said {h}.
{f} had an idea. [{fhe} used the {toy}|they built a small boat|they gave the {animal} some {food}|they held hands and went on slowly], and [soon they could go on|it worked].
+at last they came to {place2}. There, {place_look}, they found [a box|a chest|a small door|a bag]. [{s} opened it slowly.|inside it was something shiny.]
it was full of [gold coins|old books|toys|letters|shiny stones]! "[we did it|look at this|how wonderful]!" cried {f}.
[they gave half of it to the poor people of the village.|they shared it with everyone.|"but the best thing is that I found a friend," said {h}.]
{ending}
""",
    "rainy day": """
{opening}
?{about}
{h} wanted to {game.base}, but it was [raining|snowing|too windy|too cold]. "[I am so bored.|this is a bad day.|when will it stop?]" said {h}.
{sad}
+"[you can play inside|let us do something else|come here, I have an idea]," said {m}. So they [made a house with chairs and blankets|baked {food.some}|drew pictures|read an old book|played with {toy.a}].
?then {fintro} came by. {fs} was all wet. "[can I come in?|I was bored too.]" said {f}. {play}
+{later} [the rain stopped|the clouds went away|the sun came out]. {h} ran to the window. There was a [big|beautiful|bright] rainbow in the sky!
"[look at all the colours!|how pretty it is!|red, yellow, green and blue!]" said {h}.
?they put on their boots and jumped in the puddles. Splash, splash!
{happy}
{ending_alone}
""",
    "broken thing": """
{once}
?{about}
one day, {h} was playing with {his_ball} in the house. {m} had said, "please do not play here," but {h} did not listen.
crash! {m_poss} {toy} fell [on the floor|from the table|down] and broke. [there were pieces everywhere.|the house was very quiet.]
+{h} was [afraid|very sorry|worried]. [{s} hid the pieces {place_look}.|{s} wanted to run away.|"maybe nobody will see it," {he} thought.]
?{later} {m} asked, "where is my {toy}?" {h} [looked at the floor|said nothing|turned red]. "[I do not know|maybe the {animal} took it]," said {h}.
but {he} felt bad. {s} could not [eat|sleep|play|think of anything else].
+at last {he} went to {m} and told {mhim} the truth. "[I broke it|it was me|I was not careful]. I am so sorry," said {h}.
{m} [was quiet for a moment|looked at {him}|took {his} hand]. "[thank you for telling me the truth|I am not angry|that was brave of you]," {mhe} said. "[we can mend it together|things can be mended|a {toy} is only a {toy}]."
they [mended it with glue|made a new one|picked up all the pieces]. {happy}
{moral_truth}
?{ending_alone}
""",
    "wish": """
{once}
?{about}
one [night|evening|day], {h} found {toy.a} {place2.in}. It began to [shine|sing|speak|move].
"I am a magic {toy}," it said. "[you have one wish|make a wish|I can give you one thing]."
+{h} thought [for a long time|about it all night|hard]. [{s} could wish for gold.|{s} wanted so many things.|"a big house? a new bicycle?" {he} said.]
then {he} saw {fintro}. {f} was [cold|hungry|sad|all alone].
"I wish that [{f} had a warm home|everyone had enough to eat|I could fly like a bird|it would be summer all year|all the animals could talk|I had a friend]," said {h}.
[there was a bright light.|the wind began to blow.|the {toy} began to turn.|one, two, three!] And it was true!
?{f} could not believe it. {thanks_f}
+{happy} [But the {toy} was not magic any more.|the {toy} was gone, but {h} did not mind.|the {toy} said goodbye and flew away.]
?{moral_friend}
{ending}
""",
    "quarrel": """
[there were two friends: {intro} and {fintro}.|{intro} and {fintro} were [best|good|old] friends.|once upon a time, {intro} and {fintro} were [best|good] friends.] They {game} every day.
but one day, they both wanted the same {toy}. "it is mine!" said {h}. "no, it is mine!" said {f}.
they pulled and pulled until the {toy} [broke|fell into the mud|flew over the wall]. "[look what you did|this is your fault|I will never play with you again]!" shouted {f}.
+{h} went home. {s} tried to play alone, but it was [no fun|boring|too quiet]. {sad}
"[what happened|why are you so sad|where is {fname}]?" asked {m}. {h} told {mhim}. "[a friend is worth more than a {toy}.|maybe you can say sorry.|what would {fname} say?]" said {m}.
+the next day, {h} took {food.some} and went to {fname}'s house. {f} opened the door.
"I am sorry," said {h}. "I am sorry too," said {f}. [they both smiled.|they hugged each other.|then they both laughed.]
?they mended the {toy} and used it together.
{play}
?{moral_sorry}
?{ending}
""",
    "way home": """
{once}
one day, {h} went too far from home. {s} [followed a butterfly|ran after a ball|picked flowers|did not look at the path], and {suddenly_plain} {he} was lost.
?{weather}
"[where am I|how can I get home|mother! where are you]?" cried {h}. Nobody answered. {sad}
+{meet} "[why are you crying|are you lost|what is wrong]?" asked {f}. "I cannot find my way home," said {h}. "[I live in a {house}|my home is near {place}|my house has a {colour} door]."
"[I know that place|I know the way|come with me|I can see it from the top of a tree]," said {f}. 
they went [past the pond|over the bridge|through the tall grass|down the hill|along the stream] and [past an old mill|through the trees|over a wall|around the lake].
?it got dark, but {f} [held {his} hand|had a small lamp|was not afraid].
+at last, {h} saw [a light|{his} house|{m} at the door]. "[I am home|there it is]!" {he} [cried|shouted].
{m} [ran to {him}|hugged {him}|was so happy]. "[where were you|I was so worried|never go so far again]!" {mhe} said.
{h} told {mhim} about {f}. "[thank you for your help|please stay and eat with us|you are a good friend]," said {m} to {f}. They all ate {food.some}.
?{moral_home}
?{ending}
""",
    "seed": """
{once}
one [spring|morning|day], {m} gave {him} a [tiny|little|small brown] seed. "[put it in the ground|plant it and wait|give it water every day]," {mhe} said.
{h} made a hole {place2.in}, put the seed in it, and gave it some water. {s} waited and waited. [nothing happened.|nothing came up.]
?"[maybe it is a bad seed.|why is it so slow?]" said {h}. "[be patient|good things take time]," said {m}.
?{fintro} laughed at {him}. "nothing will grow there," said {f}.
+then it rained, and the sun came out. {later} there was a small green leaf! {happy}
the plant grew [bigger and bigger|taller every day|as tall as a house]. [in summer|soon|at last] it had [a big {colour} flower|many {colour} flowers|sweet apples|golden leaves].
?{animal.many} came to look at it. "{animal.says}," they said.
+everyone came to see it. "how [beautiful|wonderful|big] it is!" said {m}. {h} gave everyone [a flower|a seed|something to eat|a smile].
?{moral_try}
{ending_alone}
""",
    "trick": """
{opening}
{s} had {food.some} and was very [proud|happy|pleased].
a [clever|hungry|sly] {animal} saw {food.it}. "I want {food.it}," thought the {animal}. It went to {h} and said, "[you look fine today|what a lovely voice you have|I hear you are very strong]. Can you [sing|dance|jump|close your eyes and count to ten] for me?"
+{h} was so proud that {he} [began to sing|put the {food} down|forgot everything]. At once the {animal} took the {food} and ran away.
"[stop|come back|that is mine]!" shouted {h}. But the {animal} was gone. {sad}
+{meet} {h} told {fhim} everything. "[let us be clever too|I know what we can do|I have a plan]," said {f}.
they [hid behind a tree|put a big {toy} on the path|made a loud noise like a lion]. The {animal} was so [scared|surprised] that it [dropped the {food}|ran away|fell into the pond].
[{h} laughed.|{h} and {f} laughed.] [{h} shared the {food} with {f}.|"sorry," said the {animal}. "I was so hungry." So {h} gave it some too.]
?{moral_wise}
{ending}
""",
    "ordinary day": """
[{intro} woke up early.|{intro} got up at seven o'clock.|the sun came in at the window, and {intro} woke up.|the {kind} woke up. {his} name was {name}.] {weather}
{s} washed {his} face and put on {clothes}. For breakfast, {he} had {food.some}. [It was a good breakfast.|{m} ate with {him}.]
+then {h} went to {place}. {s} saw {animal.a} there. {sounds}
?{meet} {greet} {play}
?{s} found {toy.a} {place_look}. "[whose is this?|how pretty!|I will keep it safe.]" said {h}.
{later} {he} [was tired|was hungry|went home]. {m} had made {food2.some}. [they talked about the day.|"how was your day?" asked {m}. "it was [good|fun|long and happy]," said {h}.]
+at night, {h} [went to bed|looked at the stars|heard the rain|read a book]. [{s} closed {his} eyes and slept.|"good night," said {m}. "good night," said {h}.|the moon shone through the window.] {dream}
""",
    "visit": """
{once}
[one Sunday|on {his} birthday|one fine morning], {h} and {m} went to {place2}. They went by [train|bus|boat|cart|bicycle].
?{weather}
{h} saw {animal.a} that had {animal.has}. "what does it eat?" asked {h}. "it eats {animal.eats}," said {m}.
?then they saw some {animal2.many}. "{animal2.says}," said one of them, and {h} laughed.
+{suddenly} {h} could not see {m} any more. {s} looked left and right. [there were so many people.|{s} was all alone.]
{meet} "[are you alone|can I help you|are you lost]?" asked {f}. "I lost {m_mine}," said {h}. "[then let us look together|stay here with me|I saw {mhim} near the gate]," said {f}.
?they looked {place_look} and near [the gate|the big clock|the water].
+at last {m} came. "there you are!" {mhe} said. {happy}
then they all had {food.some}. {ending}
""",
    "contest": """
{once}
one day, there was a big [race|contest|show] {place2.in}. Everyone wanted to win {toy.a}.
{h} wanted to win too, but {he} was [the smallest|the slowest|the youngest] of all. "[you cannot win|you are too small|go home]," said {fintro} and laughed.
+"[I will try|I will do my best|we will see]," said {h}. [one, two, three, go!|a bell rang, and it began.] {f} was [fast|very good|the first], but then {fhe} [stopped to rest|fell asleep under a tree|fell into a hole|stopped to eat {food.some}].
{h} [went on slowly|did not stop|saw it and stopped too]. [step by step, {he} came nearer.|"are you hurt?" asked {h} and helped {fhim} up.]
+at the end, [{h} was the first|{h} won|they came to the end together]! Everyone [clapped|shouted|was surprised]. {happy}
"[I am sorry that I laughed|you are better than I thought|well done, {name}]," said {f}. {h} [smiled|gave {fhim} {his} hand|shared the {toy} with {fhim}].
{moral_try}
?{ending}
""",
    "sleepless king": """
{once_king}
the {ruler} could not [sleep|laugh|eat|smile]. "who can help me? I will give {toy.a} to anyone who can," the {ruler} said.
[a doctor came with a bitter drink, but it did not help.|a singer came and sang all night, but it did not help.|a rich man came with gold, but it did not help.] [a cook came with {food.some}, but it did not help.|a wise man read from a big book, but it did not help.]
+then {intro} came to the castle. "[I can help|let me try|I know what is missing]," said {h}. [everyone laughed.|the people looked at {him}.]
{h} [told a funny story about {animal.a} and {animal2.a}|sang a little song about the moon|opened the window and let the fresh air in|said, "come and {game.base} with me"]. [it was very simple.|nobody had thought of that.]
+and it worked! [the whole castle was full of joy.|the people clapped and danced.] "[how did you do that|what is your secret]?" {they_asked}. "[my grandmother taught me|it is easy when you listen|I only did what I like to do]," said {h}.
{h} got {the_prize}. {ending_alone}
""",
    "trade chain": """
{once}
{s} had {toy.a}, but {he} wanted {toy2.a}.
{walk} {meet} "[that is a nice {toy}|I need a {toy} like that]," said {f}. "will you give it to me for {food.some}?" "yes," said {h}, and {he} took the {food}.
+then {he} met a hungry {animal}. "will you give me the {food} for {toy3.a}?" asked the {animal}. "[yes|of course]," said {h}, and now {he} had the {toy3}.
?{weather}
near {place3}, an old man was [crying|sad|looking for something]. "[I lost my {toy3}|I need a {toy3}], and I only have {toy2.a}," he said. "here, take mine," said {h}.
+so at last {h} had the {toy2}! {happy}
?"[it was a long way, but I have it now|what a strange day]," {he} said.
{ending_alone}
""",
    "stuck kitten": """
{opening}
?{weather}
{suddenly} {he} heard a small voice: "mew, mew!" [a kitten sat high up in a tree.|there was a kitten on the roof.] It could not come down. It was [very scared|cold and wet|very small].
"do not worry, little one," said {h}. {s} tried to climb up, but [it was too high|{he} fell down|{his} arms were too short]. {s} called [softly|loudly], but the kitten did not move.
+{meet} "[can you help me|will you help us|can you get it down]?" asked {h}. "[yes, I am very tall|yes, I can climb well|yes, I have a long rope|yes, wait here]," said {f}.
{f} [climbed up|put a ladder against the wall|held {him} up high], and {h} [put out {his} hand|held up some milk|opened {his} basket]. The kitten [jumped into {his} arms|came down step by step|looked, and then it jumped].
?"mew," said the kitten. It was not afraid any more.
+[they gave it some milk.|they took it home in a blanket.|they looked for its mother and found her near {place2}.] {thanks}
?{moral_friend}
{ending}
""",
    "storm at sea": """
{once}
{s} had a small boat, and {he} went out on the sea every [day|morning]. {m} always said, "[look at the sky before you go|come home before dark|be careful]."
+one day, the sky turned [black|grey|dark], and the wind [began to blow|grew strong]. The waves were as high as [houses|trees|hills]. The boat went up and down, up and down. {h} [held on with both hands|was very afraid|called for help].
then {he} saw a light far away. It was [the lighthouse|a lamp on the beach|a small fire]. "[I must go that way|there is land|I am saved]!" {he} cried.
?a big whale came and pushed the boat. "whoosh," it said.
{h} pulled and pulled until {he} [came to the beach|felt the sand under the boat]. There stood {fintro} with a lamp. "[I saw your boat|I heard you call]," said {f}. "[come in and get warm|you are safe now]."
+by the fire, they ate {food.some}, and {h} told {fhim} [everything|about the waves]. In the morning, the sea was calm and blue. {thanks}
{ending}
""",
    "snow day": """
{name} looked out of the window. [everything was white.|it had snowed all night.|there was snow on every roof.] "[snow|it is snowing|look at the snow]!" {he} cried. {s} put on {clothes} and ran outside.
{fintro} was there, too. "let us make a snowman!" said {f}. They rolled a big ball of snow, then a smaller one, and then a very small one.
{h} gave the snowman [a carrot for a nose|two stones for eyes|a scarf], and {f} gave it [a hat|a happy mouth|buttons made of nuts]. "[he looks like a king|he needs a name|he is smiling at us]," said {h}.
+then {animal.a} came and looked at the snowman. "{animal.says}," it said, and they laughed.
?they threw snowballs and slid down the hill. {happy}
{later} it was cold, so they went in and had {food.some}. [the snowman stood outside under the stars.|"good night, snowman," said {h}.]
+[the next week|in the spring|when the sun came back], the snow [melted|was gone], and so was the snowman. Only his [hat|scarf|nose] lay on the grass. "[he will come back next winter|do not be sad, he is water now|goodbye, snowman]," said {f}.
{ending}
""",
    "missing food": """
{once}
one morning, the {food} {food.was} gone. "[who took my {food}|where is the {food}|who ate my {food}]?" asked {h}. {s} looked {place_look}, but found only [a feather|a hair|a few crumbs].
+first {he} asked the {animal}. "it was not me," said the {animal}. "I only eat {animal.eats}." Then {he} asked the {animal2}. "it was not me," said the {animal2}. "I was {animal2.lives} all night."
?{h} thought about it. "somebody was here in the night," {he} said. {s} hid behind the door and waited.
+at night, {he} heard a [small|soft|quiet] noise. {h} lit the lamp. There stood {fintro} with a full mouth! "[I am so sorry|please do not be angry|do not tell anyone]," said {f}. "[I was so hungry|it smelled so good|I have no food at home]."
{h} [was angry at first, but then {he} laughed|looked at {fhim} and felt sorry]. "[next time, just ask me|come by day, and we will eat together|you can always knock on my door]," said {h}.
{ending}
""",
    "new school": """
it was the first day of school for {name}. {s} was [nervous|excited|a little afraid]. "[what if nobody likes me|do I have to go|will you come with me]?" {he} asked. "[you will find a friend|it will be fun|just be yourself]," said {m}.
the school was [big|old|loud], and there were many [children|rooms|faces]. {h} sat down in the last row and [said nothing|looked at {his} shoes|took out {his} pencil].
+the teacher [smiled|asked everyone to draw something|read a story about {animal.a}]. {h} [drew {animal.a} with {animal.has}|drew {toy.a}|listened]. {suddenly} somebody spoke. It was {fintro}. "[can I sit here|do you want to sit with me|can we be friends]?" asked {f}. "[yes|oh yes|yes, please]," said {h}.
{play_school}
?they learned to [count to twenty|read three new words|sing a song about {animal.many}].
+after school, {m} was waiting. "how was it?" {mhe} asked. "[it was great|I have a friend|I want to go again tomorrow]!" said {h}. {happy}
{ending}
""",
    "music": """
{once}
{s} had an old [flute|violin|drum] that {m} had given {him}. When {h} played, [the birds stopped to listen|people closed their windows|the {animal.many} danced].
?"[it is too loud|can you play somewhere else]," said the people, so {h} played {place2.in}.
+one evening, {fintro} came and sat down. "[please play it again|that song is so sad|I have never heard this before]," said {f}. {h} played [a slow song|a happy song|a song about the sea]. {f} [closed {fhis} eyes|began to sing|danced with small steps].
"[you sing so well|we sound good together|what a voice]!" said {h}. "let us play for everyone."
+on [Saturday|Sunday], they stood {place3.in} and played. At first, only a {animal2} listened. Then [one child|two women|an old man] came, and then [ten people|the whole village] came. [they clapped and shouted for more.|everyone danced until midnight.]
{happy} {ending}
""",
    "strange guest": """
{once}
?{about}
one [night|winter evening|rainy evening], someone knocked at the door. Knock, knock! {h} opened it. There stood {fintro}. {fs} was wearing {clothes}.
"[it is so cold outside|I come from far away|I have nowhere to sleep]," said {f}. "[may I come in|can I stay here tonight]?" "[of course|yes, come in and sit by the fire|yes, you are welcome]," said {h}.
{h} made {food.some} for {fhim}. {f} told {him} a story about [a ship on the sea|a dragon in a cave|{animal.a} who could speak|a king with no hat|a star that fell from the sky].
+in the morning, {f} was gone. But on the table was {toy.a} and a letter. "[thank you for the warm night|you have a good heart|this is for you, my friend]," it said.
{happy} [the {toy} was magic.|{s} kept the {toy} for the rest of {his} life.|{s} showed it to {m}.]
?{moral_friend}
{ending}
""",
}

# Each of these is one short text.
SHORT: dict[str, list[str]] = {
    "describe animal": [
        "the {animal} is {size}. It has {animal.has}. It lives {animal.lives} and eats {animal.eats}. [{animal_more}|]",
        "{animal.many} live {animal.lives}. They eat {animal.eats}, and they have {animal.has}. [they say \"{animal.says}\".|children like them very much.]",
        "a {animal} is an animal that lives {animal.lives}. It has {animal.has}. It likes {animal.eats}. {animal_more}",
        "the {animal} is [sleeping|eating|playing|sitting] {place.in}. It is [a {trait} animal|very {trait}|{feeling} today]. {animal_more} [{is_weather}|]",
        "this is {name}'s {animal}. It is {colour}, and it has {animal.has}. {name} gives it {animal.eats} every [day|morning]. {animal_more}",
        "the {animal} is {colour} and {size}. It is {trait}. [it likes to sleep in the sun.|it is not afraid of the {animal2}.|it wants some {animal.eats}.] {animal_more}",
        "I [have|saw|like] {animal.a}. It is {colour}. [it is very {trait}.|it can run fast.] It eats {animal.eats} and says \"{animal.says}\". {animal_more}",
        "the {animal} was [hungry|tired|{feeling}]. It [looked for|wanted|dreamed of] {animal.eats}. [so it went to {place}.|it walked all day.] There it [found some {animal.eats}|met a {animal2}|fell asleep]. {animal_end}",
        "the {animal} and the {animal2} were friends. They lived {place.in}. The {animal} liked {animal.eats}, and the {animal2} liked {animal2.eats}. [so they never had to share.|one day they made a big meal together.] {animal_end}",
        "the {animal} [sat|slept|ran|walked|waited] {place.in}. [it was looking for a friend.|it was happy.|{was_weather}] {suddenly} it saw {toy.a}. \"{animal.says}!\" it said. [it played with the {toy} all day.|it took the {toy} home.|it did not know what it was.] {animal_end}",
    ],
    "describe person": [
        "{name} is {kind.a}. {he_cap} is {trait} and {trait2}. {he_cap} likes to {game.base}. {his_cap} favourite colour is {colour}. [{he_cap} lives near {place}.|{his_cap} best friend is {fname}.] {present_more}",
        "my name is {name}. I [am|am only|will be] [six|seven|eight|nine|ten|five] years old. I live in a {house} near {place}. I like to {game.base}. {i_more}",
        "my name is {name}, and I am {kind.a}. I have {animal.a}. It is {colour} and has {animal.has}. {i_more} {i_more}",
        "{name} has {toy.a}. {he_cap} got it from {m}. It is [very old|quite new|the best {toy} in the world]. {he_cap} keeps it {place_look}. {present_more}",
        "my [mother|sister|grandmother|aunt] is a {job}. She {job.does}. She works {job.where}. [she gets up very early.|she likes it very much.|in the evening she is tired.] {i_more}",
        "my [father|brother|grandfather|uncle] is a {job}. He {job.does}. He works {job.where}. [he gets up very early.|he likes it very much.|in the evening he is tired.] {i_more}",
        "I am {feeling} today. [I went to {place} with {fname}.|{fname} gave me {toy.a}.|I lost my {toy}.|it is raining, and I cannot {game.base}.] {i_more} {i_more}",
        "we live in a {land}. [there is a river behind our house.|our house is {colour}.] In the morning, I {game.base}. In the evening, we eat {food} and {game2.base}. {i_more}",
    ],
    "describe place": [
        "{place} is [big|small|quiet|old|beautiful]. There are [many|some|a few] {animal.many} there. In {season}, {season.event_now}. {is_weather} [children like to {game.base} there.|people come there to rest.]",
        "there is a {place.noun} near my house. [it is very old.|it is not big.] I go there [every day|on Sundays|with {fname}|when I am {feeling}]. I like to {game.base} there. {i_more}",
        "{season} is here. In {season}, {season.sign_now}, and {season.event_now}. The days are {season.days}. [I like {season} the best.|the {animal.many} are happy.|it is time to {game.base}.]",
        "it was {season}. {season.sign}, and {season.event}. The days were {season.days}. [{name} was happy.|the {animal.many} looked for {animal.eats}.|everyone stayed at home.] {animal_end}",
        "the [room|house|kitchen] is [small|big|warm|bright]. There is a [table|bed|chair|lamp|clock] near the window. On the table there is {toy.a} and {food.some}. The walls are {colour}. {is_weather}",
        "the weather is [fine|good|bad|cold|hot] today. {is_weather} {is_weather} [I will {game.base}.|{name} wants to stay at home.|let us {game.base}.]",
        "there was {toy.a} {place.in}. Nobody knew [whose it was|where it came from|how old it was]. One day, {intro} found it. \"[how pretty|what is this|can I keep it]?\" said {h}. {m} said, \"[yes, you can|ask {fname}|it may belong to {fname}].\" {happy}",
    ],
    "question": [
        "what is {thing}? {thing} is {thing.is}. {thing.fact}.",
        "question: what is {thing}?\nanswer: {thing} is {thing.is}. {thing.fact}.",
        "what is your name? My name is {name}. I am {kind.a}, and I live near {place}.",
        "what is your favourite colour? My favourite colour is {colour}. [I have {clothes}.|my {toy} is {colour} too.]",
        "where does the {animal} live? The {animal} lives {animal.lives}. It has {animal.has}.",
        "what does the {animal} eat? It eats {animal.eats}. [it also likes {animal2.eats}.|]",
        "what does the {animal} say? The {animal} says, \"{animal.says}!\"",
        "who is {name}? {name} is {kind.a}. {he_cap} is {trait}, and {he} lives near {place}.",
        "what is that? It is {toy.a}. [{name} found it {place.in}.|it belongs to {name}.|you can play with it.]",
        "what is a {animal}? A {animal} is an animal that lives {animal.lives}. It has {animal.has}.",
        "what is a {job}? A {job} is someone who {job.does}. A {job} works {job.where}.",
        "what does a {job} do? A {job} {job.does}.",
        "why is {name} {feeling}? [because {he} lost {his} {toy}.|because it is {his} birthday.|because {fname} is coming today.|because {he} cannot {skill}.|because it is raining.]",
        "how are you? I am [fine|well|very well|a little tired], thank you. [and you?|today I went to {place}.|it is a lovely day.]",
        "where is the {toy}? The {toy} is {place_look}. [{name} put it there.|can you see it?|it is {toy.adj}.]",
        "how do you make {food}? [first you need a big bowl.|it is easy.] Then you [mix everything|wash your hands|ask someone to help you]. At last, you [put it in the oven|share it with your friends|eat it].",
        "can you {skill}? [yes, I can. I learned it from {m_mine}.|no, I cannot, but I want to learn.|not yet.]",
        "what is the [name|colour] of your {animal}? [its name is {fname}.|it is {colour}.] [it likes {animal.eats}.|]",
        "do you like {food}? [yes, I like {food.it} very much.|no, I do not like {food.it}.] My favourite food is {food2}.",
        "what is in the box? There is {toy.a} in the box, and {food.some} too.",
        "what is the time? It is [one|two|three|four|five|six|seven|eight|nine|ten] o'clock. It is time [to go home|to eat|for bed|for school].",
        "what is the weather like? {is_weather} {is_weather}",
    ],
    "dialogue": [
        "\"hello, {fname}!\" said {h}. \"hello, {name},\" said {f}. \"[where are you going|what are you doing|where do you want to go]?\" \"[I am going to {place}|I want to go to {place}|I am looking for my {toy}],\" said {h}. \"[can I come with you|may I come|can we go together]?\" asked {f}. \"[yes, come|of course],\" said {h}. {play} {ending}",
        "hello! My name is {name}. [I am {kind.a}.|I am {feeling} today.] [what is your name?|how are you?|do you want to play?] {i_more}",
        "hello, {fname}. [how are you today?|I am so happy to see you.] I am {place.in} with {m_mine}. {is_weather} We [want to {game.base}|ate {food.some}|saw {animal.a}]. {i_more}",
        "hello, [friend|friends|everyone]! [today|this morning] I [saw {animal.a}|found {toy.a}|went to {place}]. {i_more} {i_more}",
        "\"hello,\" said the {animal}. \"hello,\" said the {animal2}. \"[have you seen my {toy}|do you have {food.some}|why are you so {feeling}]?\" \"[no|yes|maybe],\" said the {animal2}. \"[ask the owl|look {place_look}|come with me and see].\" so the {animal} went to {place}. {animal_end}",
        "\"good morning,\" said {h}. \"good morning,\" said {f}. \"[do you want some {food}?\" \"yes, please|would you like some tea?\" \"no, thank you|did you sleep well?\" \"yes, very well|is it still raining?\" \"no, the sun is out],\" said {h}. [they ate together.|then they went to {place}.] {ending}",
        "dear {fname},\n[I am {place.in} now.|how are you? I am fine.] {is_weather} [yesterday|today] I [found {toy.a}|saw {animal.a}|learned to {skill}]. {i_more} [please come soon|write to me soon|I miss you].\nyour friend,\n{name}",
        "thank you for the {toy}, {fname}. It is [beautiful|just what I wanted|so {toy.adj}]. I [play with it every day|showed it to {m_mine}|will keep it forever]. {i_more}",
        "good night, {fname}. [the moon is bright.|the day was long.] [sleep well|close your eyes|dream of {animal.many}]. Tomorrow we will {game.base}.",
    ],
    "how to": [
        "to make {food}, you need [milk|water|flour] and [honey|eggs|salt]. First, [wash your hands|find a big bowl|make a fire]. Then [mix everything slowly|add some sugar|wait a little]. At last, [put it on the table|share it with a friend|eat it while it is warm].",
        "there are three things {name} likes: {food}, {animal.many} and {toy.many}. There is one thing {he} does not like: {food2}. {present_more}",
        "today is [Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday]. On this day, {name} goes to {place}. {he_cap} takes {toy.a} and {food.some}. {present_more}",
        "one, two, three, four, five. {name} counts the {animal.many}. [there are five of them.|one of them is {colour}.] \"{animal.says}!\" they say. {present_more}",
    ],
}

# What a text may say to a question full of unknown words.
UNSURE = [
    "I do not know. {i_more}",
    "I do not know, but I know a story.",
    "that is a hard question. [let me think.|nobody knows the answer.] {i_more}",
    "that is a good question. [I asked {m_mine}, but nobody knew.|maybe {fname} knows.] {i_more}",
    "I have never heard of that. {i_more}",
    "I am not sure. [maybe it is like {toy.a}.|maybe {animal.a} could tell you.] {i_more}",
]
