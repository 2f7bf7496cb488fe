"""What shops write in titles, as tables of our own: colours, sizes, kinds of a thing, other words for it, and noise.

The trap: a word that a measuring set was looked up for would make its figure a lie; these were written from general knowledge alone.
"""

from __future__ import annotations

from typing import Final


def listed(said: str) -> tuple[str, ...]:
    """Split words at their commas.

    >>> listed("red,rose gold")
    ('red', 'rose gold')
    """
    return tuple(said.split(","))


COLOURS: Final = listed(
    "black,white,red,blue,navy,green,olive,pink,purple,grey,silver,gold,rose gold,brown,tan,beige,cream,ivory,yellow,orange,teal,turquoise,"
    "maroon,burgundy,charcoal,multicolor,clear,natural,walnut,space grey"
)
PATTERNS: Final = listed("striped,floral,solid,plaid,polka dot,camo,printed,checked,paisley,geometric,tie-dye,embroidered,plain")
AGES: Final = listed("kids,adult,baby,toddler,boys,girls,junior,infant,teen,0-3 months,3+ years,ages 6 and up")
GENDERS: Final = listed("men's,women's,unisex,ladies,mens,womens,for him,for her,girls',boys'")
FABRICS: Final = listed("cotton,100% cotton,linen,silk,polyester,wool,denim,fleece,velvet,leather,nylon,satin,jersey,suede,canvas")
MATERIALS: Final = listed(
    "stainless steel,wood,plastic,metal,glass,ceramic,bamboo,aluminum,silicone,rubber,oak,brass,cast iron,acrylic,steel,copper,foam"
)
FLAVOURS: Final = listed(
    "vanilla,chocolate,strawberry,lemon,original,bbq,sea salt,honey,cinnamon,mint,raspberry,mixed berry,peach,mango,garlic,spicy,ranch,"
    "caramel,peanut butter,apple,coconut,lime,cheddar,jalapeno,blueberry,cherry,ginger,maple,hazelnut"
)
SCENTS: Final = listed("lavender,fresh linen,rose,citrus,unscented,eucalyptus,vanilla,ocean breeze,jasmine,sandalwood")
DIETS: Final = listed("organic,gluten free,vegan,low fat,sugar free,non-gmo,kosher,dairy free,natural,reduced sodium,keto,fat free")
POWERS: Final = listed("cordless,rechargeable,battery operated,electric,solar,usb,corded,18v,manual")
CONNECTIONS: Final = listed("bluetooth,wireless,wifi,usb-c,wired,hdmi,4g,ethernet,dual band")
PETS: Final = listed("dog,cat,puppy,kitten,bird,hamster,small animal")
FEATURES: Final = listed("adjustable,foldable,waterproof,lightweight,heavy duty,portable,anti-slip,quick dry,slim,non-stick")

VALUES: Final = (
    ("color", COLOURS),
    ("pattern", PATTERNS),
    ("age", AGES),
    ("gender", GENDERS),
    ("fabric", FABRICS),
    ("cloth", FABRICS),
    ("wear_material", FABRICS),
    ("material", MATERIALS),
    ("flavor", FLAVOURS),
    ("scent", SCENTS),
    ("diet", DIETS),
    ("power", POWERS),
    ("connect", CONNECTIONS),
    ("animal", PETS),
    ("feature", FEATURES),
)
"""An attribute takes the values of the first row whose word its name holds."""

WORN: Final = listed("size S,size M,size L,XL,XXL,size 8,size 10,UK 9,EU 42,one size,36,plus size,regular fit,slim fit")
EATEN: Final = listed("12 oz,16 oz,64 fl oz,500g,1 kg,250 ml,1 L,6 ct,24 x 330ml,2 lb,5.3 oz,100 g,family size,mini,single serve")
WIRED: Final = listed('32GB,128 GB,15.6",24 inch,1080p,4K,500 W,5000mAh,220V,8kg,1.5 m,USB 3.0,2.4 GHz,10-inch')
MEASURED: Final = listed("large,small,30 cm,12 inch,set of 4,5 ft,2 pcs,10mm,medium,60 x 40 cm,1/2 in,8 pack,XL,mini,3 piece")
SIZES: Final = {
    "Apparel & Accessories": WORN,
    "Food, Beverages & Tobacco": EATEN,
    "Health & Beauty": EATEN,
    "Electronics": WIRED,
    "Cameras & Optics": WIRED,
}
"""What a size looks like, department by department; `MEASURED` elsewhere."""
UNASKED: Final = {"Food, Beverages & Tobacco": DIETS + FLAVOURS, "Apparel & Accessories": GENDERS + FABRICS + COLOURS}
"""What a title of the department says whether or not the taxonomy has an attribute for it."""

NOISE: Final = listed(
    "NEW,Pack of 6,free delivery,(2 Pack),best seller,sale,limited edition,100% original,buy 1 get 1 free,with warranty,premium quality,"
    "imported,new arrival,gift,hot deal,official,in stock,| free shipping,- pack of 2,combo,best price,refurbished,value pack,assorted"
)
SYLLABLES: Final = listed("ka,lo,mi,ter,ven,zo,bri,dex,sol,na,ro,pel,fi,gar,lu,mon,ta,vi,quo,bel,han,ox,ric,su,yar,ne,del,co,wen,ash")

SYNONYMS: Final = {
    "sofa": "couch,settee",
    "couch": "sofa",
    "pants": "trousers,slacks,bottoms",
    "trousers": "pants",
    "shoes": "footwear,sneakers,loafers",
    "sneakers": "trainers,running shoes",
    "sweaters": "jumpers,pullovers,knitwear",
    "sweatshirts": "crewnecks,fleece tops",
    "hoodies": "hooded sweatshirts,zip hoodies",
    "t-shirts": "tees,tshirts,tee shirts",
    "pajamas": "pyjamas,pjs,nightwear",
    "handbags": "purses,totes,clutches,shoulder bags",
    "wallets": "billfolds,card holders",
    "eyeglasses": "spectacles,glasses frames",
    "jewelry": "jewellery,bracelet,necklace,pendant,earrings",
    "televisions": "tv,led tv,smart tv",
    "mobile phones": "smartphone,cell phone,sim free handset",
    "laptops": "notebook computer,ultrabook",
    "headphones": "earbuds,earphones,headset",
    "refrigerators": "fridge,fridge freezer",
    "vacuums": "vacuum cleaner,hoover,stick vac",
    "stoves": "cooker,range",
    "ovens": "built-in oven,single oven",
    "faucets": "taps,mixer tap",
    "garbage": "trash,rubbish,bin",
    "trash": "garbage,rubbish",
    "flashlights": "torch",
    "diapers": "nappies,training pants",
    "strollers": "pram,pushchair,buggy",
    "pacifiers": "soothers,dummies",
    "cribs": "cot",
    "soda": "cola,soft drink,root beer,lemon-lime pop,ginger ale",
    "cookies": "biscuits,shortbread",
    "chips": "crisps,potato chips,tortilla chips",
    "candy": "sweets,gummies,lollipops",
    "detergent": "washing powder,liquid capsules,pods",
    "perfumes": "eau de parfum,edt,fragrance",
    "deodorants": "antiperspirant roll-on,body spray",
    "toothpaste": "whitening paste",
    "pillows": "cushions",
    "comforters": "duvets,quilts",
    "rugs": "carpet,doormat,runner",
    "curtains": "drapes,blackout panel",
    "wrenches": "spanner",
    "screwdrivers": "phillips driver",
    "movies": "dvd,blu-ray",
    "backpacks": "rucksack,school bag,daypack",
    "luggage": "suitcase,trolley,carry-on",
    "cell phone": "mobile,smartphone",
    "automobile": "car",
    "vehicle": "car,truck,auto",
    "bicycle": "bike",
    "supplies": "essentials,items,",
    "accessories": "parts,add-on,",
}
"""Other words for a thing, by the words of a category's name that they stand for."""

KINDS: Final = {
    "Cheese": "cheddar,mozzarella,gouda,brie,feta crumbles,parmesan wedge,swiss slices,string cheese,goat cheese,provolone,colby jack",
    "Milk": "2% reduced fat milk,whole milk gallon,skim milk,lactose free milk,half gallon 1% milk",
    "Nut Drinks": "almondmilk,cashew milk,almond beverage unsweetened",
    "Soy Drinks": "soymilk",
    "Yogurt": "greek yogurt,nonfat plain skyr,kefir,yoghurt tubes,low fat yogurt fruit on the bottom",
    "Cream": "half & half,heavy cream,creme fraiche",
    "Eggs": "cage free brown eggs,large grade AA dozen,liquid egg whites",
    "Breads & Buns": "sourdough loaf,whole wheat bread,baguette,ciabatta,hamburger buns,hot dog rolls,naan,pita,english muffins,rye,"
    "brioche",
    "Pastries & Scones": "croissant,danish,cinnamon rolls,turnover",
    "Cakes": "birthday cake,cheesecake,pound cake,angel food cake",
    "Pasta & Noodles": "spaghetti,penne rigate,fusilli,linguine,macaroni elbows,ramen,rice noodles,lasagne sheets,farfalle,udon,ravioli,"
    "tortellini",
    "Rice": "basmati,jasmine,arborio,long grain brown,wild rice",
    "Cereal & Granola": "corn flakes,muesli,bran flakes,oat clusters,frosted hoops,crunchy granola",
    "Oats, Grits & Hot Cereal": "oatmeal,porridge,instant grits,rolled oats,steel cut",
    "Canned & Prepared Beans": "black beans,refried beans,chickpeas can,kidney beans,baked beans,garbanzo",
    "Canned & Jarred Vegetables": "diced tomatoes,canned corn,artichoke hearts,green beans no salt added,sauerkraut,whole peeled tomatoes",
    "Canned & Jarred Fruits": "pineapple chunks in juice,mandarin segments,peach halves in syrup",
    "Fruit Sauces": "applesauce,cranberry sauce",
    "Dried Fruits": "raisins,dried cranberries,medjool dates,prunes,apricots,banana chips",
    "Nuts & Seeds": "almonds,cashews,pistachios,walnut halves,sunflower seeds,chia,pecans,macadamia,peanuts dry roasted",
    "Nut Butters": "peanut butter,almond butter,hazelnut spread",
    "Jams & Jellies": "strawberry preserves,grape jelly,orange marmalade,fruit spread",
    "Dips & Spreads": "hummus,guacamole,spinach dip,salsa,tzatziki,baba ganoush,tapenade",
    "Salad Dressing": "ranch,balsamic vinaigrette,caesar,thousand island,blue cheese dressing",
    "Condiments & Sauces": "ketchup,mustard,mayo,soy sauce,hot sauce,bbq sauce,relish,worcestershire,sriracha,teriyaki",
    "Pasta Sauce": "marinara,alfredo,tomato basil,pesto,bolognese,arrabbiata",
    "Soups & Broths": "chicken broth,tomato soup,ramen cup,vegetable stock,clam chowder,bouillon cubes,minestrone,lentil soup",
    "Herbs & Spices": "ground cumin,oregano,paprika,bay leaves,turmeric,curry powder,cinnamon sticks,chili powder,basil,taco seasoning",
    "Cooking Oils": "extra virgin olive oil,canola oil,cooking spray,avocado oil,grapeseed oil,ghee",
    "Baking Mixes": "brownie mix,cake mix,muffin mix,cornbread mix,biscuit mix",
    "Flour": "all purpose flour,bread flour,almond flour,self-raising,masa",
    "Sweeteners": "stevia packets,agave,cane sugar,light brown sugar,monk fruit",
    "Ice Cream": "pint cookies & cream,vanilla bean tub,mint chip,gelato,chocolate fudge ice cream",
    "Ice Cream Novelties": "ice cream sandwiches,fudge bars,drumstick cones,popsicles",
    "Prepared Meals & Entrées": "frozen pizza,mac & cheese bowl,chicken pot pie,burrito,frozen lasagna,tv dinner,enchiladas,stir fry kit,"
    "pepperoni pizza",
    "Prepared Appetizers & Side Dishes": "egg rolls,mozzarella sticks,french fries,tater tots,potstickers,mashed potatoes,spring rolls,"
    "samosas",
    "Snack Foods": "cheese crackers,pretzels,popcorn,beef jerky,trail mix,pita chips,rice cakes,tortilla chips,fruit snacks,protein bar",
    "Chips": "kettle cooked,tortilla,corn chips,veggie straws,salt & vinegar crisps",
    "Crackers": "saltines,wheat thins,water biscuits,graham,oyster crackers",
    "Granola Bars": "chewy bar,nut bar,oats & honey crunchy bars,energy bar",
    "Candy": "gummy bears,peppermints,chewing gum,lollipops,sour worms,caramels,licorice,jelly beans",
    "Chocolate": "dark chocolate 70% bar,truffles,milk chocolate almonds,peanut butter cups",
    "Meat": "ground beef 80/20,chicken breast boneless,pork chops,bacon thick cut,turkey sausage,ham sliced,salami,ribeye,"
    "hot dogs,lamb,deli turkey",
    "Seafood": "salmon fillet,raw shrimp,tuna chunk light in water,cod,sardines in oil,crab meat,smoked salmon,tilapia",
    "Meat Alternatives": "veggie burger,plant based patties,meatless crumbles,vegan sausages",
    "Tofu, Soy & Vegetarian Products": "extra firm tofu,tempeh,seitan strips,black bean burgers",
    "Fresh & Frozen Fruits": "bananas,gala apples,avocado,strawberries 1 lb,seedless grapes,limes,blueberries,navel orange,mango,"
    "frozen mixed berries",
    "Fresh & Frozen Vegetables": "baby spinach,romaine hearts,yellow onion,garlic bulb,cilantro,carrots,broccoli florets,cucumber,zucchini,"
    "frozen peas,kale",
    "Coffee": "ground dark roast,espresso capsules,k-cups,cold brew,whole bean,instant latte,decaf",
    "Tea & Infusions": "green tea bags,chamomile,earl grey,kombucha,iced tea,matcha,rooibos,chai",
    "Water": "sparkling water,spring water bottles,seltzer lime,tonic,mineral water",
    "Juices, Milkshakes & Smoothies": "orange juice no pulp,apple juice,lemonade,green smoothie,cranberry cocktail,coconut water",
    "Sports & Energy Drinks": "electrolyte drink,energy shot,zero sugar energy drink",
    "Beer": "ipa,lager,pale ale,stout,pilsner 6 pack",
    "Wine": "cabernet sauvignon,pinot grigio,merlot,chardonnay,prosecco,rosé,malbec",
    "Liquor & Spirits": "vodka,bourbon whiskey,gin,tequila silver,rum,cognac,scotch single malt",
    "Vitamins & Supplements": "multivitamin gummies,fish oil omega 3,probiotic capsules,vitamin d3,whey protein,collagen powder,melatonin,"
    "magnesium",
    "Skin Care": "face moisturizer,body lotion,cleanser,sunscreen spf 50,hand cream,serum,lip balm,face mask",
    "Bath & Body": "body wash,bar soap,bath bomb,hand soap pump,shower gel,bubble bath",
    "Hair Care": "hairspray,argan hair oil,hair color kit,styling gel,dry shampoo,leave-in,pomade",
    "Shampoo & Conditioner": "anti-dandruff shampoo,color safe conditioner,2 in 1",
    "Makeup": "lipstick matte,mascara,eyeliner,foundation,blush palette,concealer,kajal",
    "Oral Care": "toothpaste,mouthwash,dental floss,whitening strips,toothbrush soft",
    "Shaving & Grooming": "razor blades refill,shaving gel,aftershave,beard oil,trimmer",
    "Medicine & Drugs": "ibuprofen tablets,allergy relief,cough syrup,antacid chewables,pain reliever,cold & flu,eye drops,laxative",
    "First Aid": "adhesive bandages,gauze,antiseptic wipes,plasters",
    "Feminine Sanitary Supplies": "tampons,maxi pads,panty liners",
    "Diapering": "diapers size 4,baby wipes,nappy cream,training pants,changing mat",
    "Nursing & Feeding": "infant formula,baby bottle,bibs,sippy cup,breast pump",
    "Household Cleaning Supplies": "glass cleaner,disinfecting wipes,bleach,sponge,scrub brush,all purpose spray,mop refill,dish soap",
    "Household Paper Products": "paper towels,toilet tissue,facial tissues,napkins",
    "Laundry Supplies": "laundry detergent,fabric softener,dryer sheets,stain remover",
    "Food Storage": "zipper bags,plastic wrap,aluminum foil,lunch box,airtight containers",
    "Disposables": "paper plates,plastic cups,disposable forks,straws",
    "Dog Food": "grain free kibble,wet dog food chunks,puppy chow",
    "Cat Food": "pate salmon,dry cat food indoor,tuna cans for cats",
    "Dresses": "maxi,bodycon,shift dress,sundress,kurti,gown,a-line,wrap dress",
    "Shirts": "button down,oxford,flannel,casual shirt,linen shirt,formal shirt,check shirt",
    "Clothing Tops": "blouse,tank,cami,tunic,crop top,polo,henley,kurta",
    "Pants": "jeans,chinos,joggers,leggings,cargo,slacks,capri,skinny jeans",
    "Coats & Jackets": "parka,blazer,windbreaker,puffer,trench coat,bomber,fleece jacket,raincoat,gilet",
    "Lingerie": "bra,push-up,panties,thong,babydoll,camisole,brief 3-pack,bralette",
    "Shoes": "sneakers,ankle boots,sandals,loafers,flip flops,ballerinas,high heels,running shoes,slippers,wedges,derby",
    "Sleepwear & Loungewear": "pyjama set,nightgown,robe,lounge pants,onesie",
    "Socks": "crew,no-show,ankle 6 pairs,compression,woolen",
    "Hats": "baseball cap,beanie,fedora,bucket hat,visor,trucker cap",
    "Clothing Accessories": "belt,scarf,gloves,tie,suspenders,sunglasses,stole,cufflinks,handkerchief",
    "Jewelry": "hoop earrings,pendant necklace,bangle,engagement ring,anklet,charm bracelet,stud,brooch,cz ring",
    "Watches": "chronograph,analog watch,smartwatch,digital sports watch,leather strap",
    "Computers": "laptop i5,desktop tower,chromebook,tablet 10.1,all-in-one pc",
    "Computer Components": "ssd,graphics card,motherboard,ddr4 memory,hard drive,usb flash drive,keyboard,mouse,cpu cooler",
    "Audio": "soundbar,bluetooth speaker,in-ear headphones,amplifier,subwoofer,microphone,turntable",
    "Video": "led tv,projector,set-top box,blu-ray player,monitor",
    "Telephony": "smartphone dual sim,cordless phone,phone case,screen protector,handset",
    "Power": "power bank,wall charger,extension lead,ups,aa batteries",
    "Cameras": "dslr body,mirrorless 24mp,action camera,compact zoom,instant camera",
    "Kitchen Appliances": "toaster,kettle,blender,coffee maker,microwave 800w,air fryer,dishwasher 14 place,chest freezer,hob,juicer",
    "Cookware & Bakeware": "frying pan,saucepan,dutch oven,cake tin,wok,baking sheet,kadhai",
    "Tableware": "dinner plates,mugs,wine glasses,cutlery set,bowl,serving tray,tumbler",
    "Kitchen Tools & Utensils": "spatula,peeler,whisk,can opener,knife set,measuring cups,grater,cutting board",
    "Bedding": "duvet cover,fitted sheet,pillowcase,quilt,blanket,mattress protector,bedsheet with pillow covers",
    "Decor": "wall clock,photo frame,vase,candle,throw pillow,mirror,wall sticker,curtain,showpiece,rug",
    "Lighting": "led bulb,table lamp,chandelier,string lights,ceiling light,floor lamp",
    "Gardening": "flower pot,seeds,pruning shears,fertilizer,planter,watering can,plant container",
    "Toys": "building blocks,doll,teddy bear,rc car,action figure,puzzle,toy train,play set,board book",
    "Tools": "drill,hammer,screwdriver set,wrench,tape measure,saw,pliers",
    "Motor Vehicle Parts": "brake pads,oil filter,spark plug,wiper blades,headlight,shock absorber,car mat,clutch kit",
    "General Office Supplies": "stapler,sticky notes,binder clips,envelopes,labels,paper a4,tape",
    "Writing & Drawing Instruments": "ballpoint pen,gel pen,pencils hb,markers,highlighter,fountain pen,crayons",
}
"""Kinds of what a category of the shop taxonomy holds, by the category's own name."""
